"""Making JSON from elsewhere fit for the database. Pure.

Journals hold what user code produced. PostgreSQL refuses NUL characters, both databases refuse
NaN, and a page refuses megabytes; none of that may stop the follower.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_TEXT = 64 * 1024
MAX_EVENT_BYTES = 8 * 1024
MAX_DEPTH = 40


encode = json.JSONEncoder(separators=(",", ":")).encode


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """`value` as text that both databases store, cut to `limit` characters."""
    if type(value) is str and len(value) <= limit and value.isascii() and "\x00" not in value:
        return value  # most of all texts
    clean = str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= limit:
        return clean
    return f"{clean[:limit]}… [{len(clean) - limit} more characters]"


class Encoded(str):
    """A JSON document as text, ready for the database."""

    __slots__ = ()


def document(value: Any) -> Any:
    """`value` as a JSON document that both databases store."""
    return cleaned(value)[0]


def event_data(clean: dict[str, Any], encoded: str) -> Encoded:
    """The data of an event, without its large members if it would be too big for the history.

    `clean`, `encoded`: what :func:`cleaned` has made of it.
    """
    if len(encoded) <= MAX_EVENT_BYTES:
        return Encoded(encoded)
    share = MAX_EVENT_BYTES // (len(clean) + 1)
    small = {key: each for key, each in clean.items() if len(encode(each)) <= share}
    left_out = sorted(clean.keys() - small.keys())
    more = {"truncated": True, "left_out": left_out[:50], "total_bytes": len(encoded)}
    return Encoded(encode({**small, **more}))


# What the text of a document that cannot be stored as it is has in it; others may have it too.
_DOUBTFUL = re.compile(r"NaN|Infinity|\\u0000|\\ud[89a-f]")


def cleaned(value: Any) -> tuple[Any, str]:
    """A document, and its text. Most are fit as they are, which their text tells at once."""
    if value is None:
        return None, "null"
    try:
        encoded = encode(value)
    except (TypeError, ValueError, RecursionError):
        encoded = ""
    is_flat = encoded.count("[") + encoded.count("{") < MAX_DEPTH
    if encoded and len(encoded) <= MAX_TEXT and is_flat and not _DOUBTFUL.search(encoded):
        return value, encoded
    clean = _document(value, 0)
    return clean, encode(clean)


def _document(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text(value)
    if depth >= MAX_DEPTH:
        return text(value, 200)
    if isinstance(value, dict):
        return {text(key): _document(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_document(each, depth + 1) for each in value]
    return text(value)
