"""The Django project around RayFlow: settings, URLs, ASGI and Celery entry points."""

from rayflow_web.celery import app as celery_app

__all__ = ["celery_app"]
