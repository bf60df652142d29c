"""Workflow and task ids: what is one, how keys hold it, how generated ones are numbered."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from urllib.parse import quote

from rayflow.errors import InvalidWorkflowIdError

MAX_ID_BYTES = 1024
_MAX_SEGMENT = 200  # file systems allow 255 bytes in a name; leave room for suffixes


def validate_workflow_id(workflow_id: object) -> str:
    """Return ``workflow_id`` if it is one.

    Raises:
        InvalidWorkflowIdError: no string, empty, not UTF-8, or over 1,024 bytes.
    """
    if not isinstance(workflow_id, str):
        raise InvalidWorkflowIdError(
            f"A workflow id is a string, not {type(workflow_id).__name__}: {workflow_id!r}."
        )
    try:
        size = len(workflow_id.encode())
    except UnicodeEncodeError:
        raise InvalidWorkflowIdError(
            f"The workflow id {workflow_id!r} cannot be written as UTF-8; remove lone surrogates."
        ) from None
    if not size:
        raise InvalidWorkflowIdError("A workflow id has at least one character.")
    if size > MAX_ID_BYTES:
        raise InvalidWorkflowIdError(
            f"A workflow id has at most {MAX_ID_BYTES} bytes; this one has {size}."
        )
    return workflow_id


def shard(identifier: str) -> str:
    """Two hex digits that spread workflows over folders."""
    return hashlib.sha256(identifier.encode()).hexdigest()[:2]


def key_segment(identifier: str) -> str:
    """One safe path segment for an id: percent-encoded, and shortened with a hash when too long."""
    encoded = quote(identifier, safe="")
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) <= _MAX_SEGMENT:
        return encoded
    # "%%" never occurs in percent-encoded text, so no short id can collide with a shortened one.
    return f"{encoded[:100]}%%{hashlib.sha256(identifier.encode()).hexdigest()}"


def task_name(module: str, qualname: str) -> str:
    """The default name of a task: module and qualified name, without characters like ``<``."""
    return re.sub(r"[^\w.\-]", "", f"{module}.{qualname}")


def unused_id(
    name: str, used: int, taken: Callable[[str], bool], reserved: Container[str] = ()
) -> str:
    """The id for a task called ``name`` of which ``used`` exist: ``name``, then ``name_1`` ...

    A candidate that ``taken`` reports, or that is a ``reserved`` name of another task (a user chose
    ``name_1`` by hand), is passed over.
    """
    while True:
        candidate = name if used == 0 else f"{name}_{used}"
        if not taken(candidate) and (used == 0 or candidate not in reserved):
            return candidate
        used += 1


@dataclass(frozen=True, slots=True)
class Either:
    """The ids that a workflow has, and some that it is about to get."""

    known: Container[str]
    more: set[str]

    def __contains__(self, task_id: object) -> bool:
        return task_id in self.more or task_id in self.known
