"""The websocket address and who may come through it.

A browser comes with its session and must come from our own pages (the Origin header). A program
comes with a token in the Authorization header, which no page of another site can set, so its
missing Origin is no danger. A token never stands in the address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.auth.models import AnonymousUser
from django.urls import path

from workflows_app import tokens
from workflows_app.consumers import LiveConsumer

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class TokenOrSession:
    """Send each handshake to the application for its kind of caller."""

    def __init__(self, *, with_token: Application, with_session: Application) -> None:
        self.with_token = with_token
        self.with_session = with_session

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        secret = _bearer(scope)
        if secret is None:
            await self.with_session(scope, receive, send)
            return
        address = (scope.get("client") or ("", 0))[0]
        user = await database_sync_to_async(_owner)(secret, address)
        await self.with_token({**scope, "user": user or AnonymousUser()}, receive, send)


def _bearer(scope: dict[str, Any]) -> str | None:
    for name, value in scope.get("headers", []):
        if name == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            return secret.strip() if scheme.lower() == "bearer" else None
    return None


def _owner(secret: str, address: str) -> Any:
    try:
        return tokens.authenticate(secret, address).user
    except tokens.TokenRefused:
        return None


_routes = URLRouter([path("ws/v1/", LiveConsumer.as_asgi())])

websocket_application = TokenOrSession(
    with_token=_routes, with_session=AllowedHostsOriginValidator(AuthMiddlewareStack(_routes))
)
