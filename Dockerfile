# One image for every part of RayFlow; docker-compose.yml says which part a container runs.

FROM python:3.11-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# The dependencies first: they change less often than the code.
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY package.json package-lock.json .npmrc ./
COPY tools/vendor.py tools/with-ray-node.sh tools/
RUN python tools/vendor.py
COPY pyproject.toml README.md manage.py ./
COPY rayflow rayflow
COPY rayflow_web rayflow_web
COPY workflows_app workflows_app
COPY examples examples
COPY templates templates
COPY static static
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 rayflow && install -d -o rayflow -g rayflow /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build --chown=rayflow:rayflow /app /app
WORKDIR /app
USER rayflow
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/app \
    DJANGO_SETTINGS_MODULE=rayflow_web.settings \
    RAYFLOW_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
CMD ["uvicorn", "rayflow_web.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "off", "--no-access-log"]
