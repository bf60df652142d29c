"""What failed alike: a fingerprint of an error, and what of it is the same for all with that fingerprint.

Numbers, ids, addresses and quoted parts differ from one failure to the next, so they are left out of the
message; of the traceback the innermost frames of other code than RayFlow and Ray count, without line numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from workflows_app import payloads

FRAMES = 3
MESSAGE_CHARS = 300
_FRAME = re.compile(r'^\s*File "([^"]+)", line \d+, in (\S+)', re.MULTILINE)
_OURS = re.compile(r"[\\/](?:rayflow|ray)[\\/]")
_VARIABLE = re.compile(
    r"""'[^']{0,200}'|"[^"]{0,200}"|`[^`]{0,200}`"""  # what is quoted
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{20,}"  # UUIDs
    r"|\b0x[0-9a-fA-F]+|\b(?=[a-fA-F]*\d)[0-9a-fA-F]{6,}\b"  # addresses and hashes
    r"|[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"  # numbers, times, versions
)


class Failure(NamedTuple):
    """What is the same for all failures of a group."""

    fingerprint: str
    error_type: str
    message: str
    place: str  # the innermost frames, innermost first


def describe(error: Any) -> Failure:
    """The group of an error as a journal tells it; ``error`` may be anything."""
    told: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    kind = payloads.text(told.get("type") or "Error", 200)
    lines = payloads.text(told.get("message") or "", 2_000).strip().splitlines()
    message = _VARIABLE.sub("…", lines[0] if lines else "")[:MESSAGE_CHARS]
    frames = _FRAME.findall(payloads.text(told.get("traceback") or ""))
    theirs = [frame for frame in frames if not _OURS.search(frame[0])] or frames
    place = " < ".join(f"{PurePath(p).name}:{f}" for p, f in reversed(theirs[-FRAMES:]))
    text = "\0".join((kind, message, place))
    return Failure(hashlib.sha256(text.encode()).hexdigest()[:16], kind, message, place)
