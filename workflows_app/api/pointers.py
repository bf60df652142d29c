"""JSON pointers (RFC 6901), by which an answer names the place of a mistake.

Imports nothing: the parsers need it while REST framework itself is still being imported.
"""

from __future__ import annotations


def join(pointer: str, key: object) -> str:
    """Append one reference token to a JSON pointer, escaped as RFC 6901 asks."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
