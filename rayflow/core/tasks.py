"""The state of one task, as far as a journal tells, and what its owner needs to know besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rayflow.core.graph import Item, StoredValue


class TaskStatus(StrEnum):
    """What is known of a task from the journal."""

    PENDING = "PENDING"
    CONTINUED = "CONTINUED"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@dataclass(slots=True)
class TaskState:
    """One task of a workflow.

    ``missing`` counts upstream tasks without a recorded value, ``lent`` those among them whose value is
    there already (:mod:`rayflow.core.provisional`); ``unread`` counts consumers that have no outcome
    yet, so that an inline value can be forgotten when nobody will ask for it again.
    """

    task_id: str
    name: str
    function: str
    args: StoredValue
    upstream: tuple[str, ...]
    parent: str | None
    options: dict[str, Any]
    metadata: dict[str, Any]
    status: TaskStatus = TaskStatus.PENDING
    missing: int = 0
    lent: int = 0
    unread: int = 0
    attempt: int = 0
    failures: int = 0  # since the last resume, for whatever cause
    system_failures: int = 0
    retry_at: float | None = None
    value: StoredValue | None = None
    volatile: bool = False
    preview: dict[str, Any] | None = None
    continued_to: str | None = None
    resolves: str | None = None
    dependents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    finally_of: str | None = None
    watches: tuple[str, ...] = ()  # tasks whose values it wants to see, without waiting for all
    progress: StoredValue | None = None  # what an attempt that had no value has saved last
    item: Item | None = None  # of a list that was mapped
    method: str | None = None  # of a virtual actor, that it calls
    call: str | None = None  # the call of the actor that it belongs to
    callers: tuple[str, ...] = ()  # the actors whose methods may wait for this call
    heartbeat: Any = None  # the last details of an attempt that had no value
    is_limited: bool = False  # an attempt has to end, or to give signs of life, in time

    def __post_init__(self) -> None:
        get = self.options.get
        self.is_limited = get("timeout") is not None or get("heartbeat_timeout") is not None
