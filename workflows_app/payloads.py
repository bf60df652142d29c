"""Making JSON from elsewhere fit for the database. Pure.

Journals hold what user code produced. PostgreSQL refuses NUL characters, both databases refuse
NaN, and a page refuses megabytes; none of that may stop the follower.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_TEXT = 64 * 1024
MAX_EVENT_BYTES = 8 * 1024
MAX_DEPTH = 40


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """`value` as text that both databases store, cut to `limit` characters."""
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value  # most of all texts
    clean = str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= limit:
        return clean
    return f"{clean[:limit]}… [{len(clean) - limit} more characters]"


def document(value: Any, depth: int = 0) -> Any:
    """`value` as a JSON document that both databases store."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text(value)
    if depth >= MAX_DEPTH:
        return text(value, 200)
    if isinstance(value, dict):
        return {text(key): document(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [document(each, depth + 1) for each in value]
    return text(value)


def event_data(value: dict[str, Any]) -> dict[str, Any]:
    """The data of an event, without its large members if it would be too big for the history."""
    clean: dict[str, Any] = document(value)
    size = _size(clean)
    if size <= MAX_EVENT_BYTES:
        return clean
    share = MAX_EVENT_BYTES // (len(clean) + 1)
    small = {key: each for key, each in clean.items() if _size(each) <= share}
    left_out = sorted(clean.keys() - small.keys())
    return {**small, "truncated": True, "left_out": left_out[:50], "total_bytes": size}


def _size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))
