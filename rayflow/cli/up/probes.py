"""Questions that tell whether a server is ready. Each answers False, never an error, while it is
not.
"""

from __future__ import annotations

import asyncio
import contextlib

PATIENCE = 5.0


async def redis_answers(port: int) -> bool:
    """Whether a Redis server on this local port answers PING."""
    return (await _ask(port, b"PING\r\n", size=7)).startswith(b"+PONG")


async def page_answers(port: int, path: str, *, host: str) -> bool:
    """Whether the web server on this local port answers a page with 200.

    Asked as the proxy in front would ask, so that RAYFLOW_HTTPS does not turn the answer into a
    redirect.
    """
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n"
        "Connection: close\r\n\r\n"
    )
    status_line = await _ask(port, request.encode(), size=12)
    return status_line.endswith(b" 200")


async def console_answers(port: int, host: str) -> bool:
    """Whether the console is usable: the process is healthy and the login page can be drawn."""
    return all([await page_answers(port, path, host=host) for path in ("/healthz", "/login/")])


async def _ask(port: int, request: bytes, *, size: int) -> bytes:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                await writer.drain()
                return await reader.readexactly(size)
            finally:
                writer.close()
    return b""
