"""Any non-empty string as one segment of an address.

Workflow and task ids may hold slashes, may be ``..`` and may hold any Unicode character, so they
need an escape that survives the two places where a standard ``%2F`` is lost: ASGI servers decode
the path before Django routes it, and ``reverse()`` quotes what a converter returns once more.

The escape used inside the application is ``;`` and two hexadecimal digits for the few characters
that matter (``/``, ``;``, ``?`` and ``.`` where a segment consists of dots only). ``;`` is legal in
a path and is never left bare by a standard encoder, so both forms can be told apart::

    reverse("workflow", args=["a/b"])   ->  /workflows/a;2Fb/
    a client that percent-encodes       ->  /workflows/a%2Fb/     the same workflow
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

ESCAPED = re.compile(r";([0-9A-Fa-f]{2})")
# Prefixes under which ids appear as segments; other addresses are left exactly as they came.
ID_PREFIXES = (b"/workflows/", b"/api/v1/workflows/")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class SegmentConverter:
    """URL converter for one id: everything up to the next slash, unescaped."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        return ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), value)

    def to_url(self, value: str) -> str:
        text = str(value).replace(";", ";3B").replace("/", ";2F")
        # Browsers resolve "." and ".." away even when the dots are percent-encoded.
        return text.replace(".", ";2E") if text in {".", ".."} else text


class EscapedSegments:
    """ASGI middleware: keep an encoded slash of a segment apart from a separating slash."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or b""
        inner = raw.removeprefix(scope.get("root_path", "").encode())
        if inner.startswith(ID_PREFIXES) and b"%" in raw:
            scope = {**scope, "path": decode_path(raw)}
        await self.application(scope, receive, send)


def decode_path(raw: bytes) -> str:
    """Decode a percent-encoded path, turning encoded separators into the application's escape."""
    text = raw.split(b"?", 1)[0].decode("latin-1")
    text = re.sub("%2f", ";2F", text, flags=re.IGNORECASE)
    text = re.sub("%3b", ";3B", text, flags=re.IGNORECASE)
    return unquote(text)
