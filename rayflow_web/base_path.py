"""A site that lies below a path of its host, such as ``https://example.org/rayflow/``.

A proxy may hand the path over whole or without its beginning; both work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]


class BasePath:
    """ASGI middleware: requests come in with the base path once, websockets without it."""

    def __init__(self, base: str, application: Application) -> None:
        self.base = base
        self.application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if self.base and scope["type"] in ("http", "websocket"):
            inner = scope["path"]
            raw: bytes = scope.get("raw_path") or inner.encode()
            if inner == self.base or inner.startswith(f"{self.base}/"):
                inner = inner.removeprefix(self.base)
                raw = raw.removeprefix(self.base.encode())
            base = "" if scope["type"] == "websocket" else self.base
            scope = {
                **scope,
                "root_path": base,
                "path": base + (inner or "/"),
                "raw_path": base.encode() + (raw or b"/"),
            }
        await self.application(scope, receive, send)
