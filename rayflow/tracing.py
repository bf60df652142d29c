"""Whose request it is: an id that the engine's log repeats with all that the request causes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rayflow.runtime import engine_logs


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Within it, calls of this thread or asyncio task tell the engine this id; an empty one tells nothing."""
    token = engine_logs.request.set(request_id or None)
    try:
        yield
    finally:
        engine_logs.request.reset(token)
