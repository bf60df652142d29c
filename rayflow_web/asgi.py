"""The ASGI application: pages and API over HTTP, live updates over one websocket address."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rayflow_web.settings")
django_application = get_asgi_application()

# Models may be imported only after Django has been set up by the line above.
from channels.routing import ProtocolTypeRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from rayflow_web.base_path import BasePath  # noqa: E402
from workflows_app.converters import EscapedSegments  # noqa: E402
from workflows_app.routing import websocket_application  # noqa: E402

application = BasePath(
    settings.FORCE_SCRIPT_NAME or "",
    ProtocolTypeRouter(
        {"http": EscapedSegments(django_application), "websocket": websocket_application}
    ),
)
