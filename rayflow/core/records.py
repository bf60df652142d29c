"""Records: the facts that make up a journal. The journal is the only truth about a workflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class WorkflowStatus(StrEnum):
    """What a workflow is doing; the meanings are those of the old library's management page."""

    NONE = "NONE"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESSFUL = "SUCCESSFUL"
    FAILED = "FAILED"
    RESUMABLE = "RESUMABLE"
    CANCELED = "CANCELED"

    @property
    def is_live(self) -> bool:
        """Whether an engine is to drive a workflow with this status."""
        return self in (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)


class Kind(StrEnum):
    """The kinds of record. Readers ignore kinds that they do not know."""

    ACCEPTED = "accepted"
    TASK = "task"
    STATUS = "status"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CONTINUED = "continued"
    CANCEL_REQUESTED = "cancel_requested"
    SUSPEND_REQUESTED = "suspend_requested"
    TASK_CANCELED = "task_canceled"
    RESUMED = "resumed"
    SEALED = "sealed"
    HEARTBEAT = "heartbeat"
    TIMED_OUT = "timed_out"
    WAITING = "waiting"
    SIGNALED = "signaled"
    PROGRESS = "progress"
    CHILD = "child"


@dataclass(slots=True)
class Record:
    """One fact in a journal.

    Attributes:
        seq: position in the workflow's journal, from 1, without gaps over all epochs.
        time: Unix time in seconds when the fact was written down.
        kind: what happened, see :class:`Kind`.
        task_id: the task it is about, if any.
        attempt: the attempt it is about, from 1, if any.
        data: JSON details; the keys of each kind are listed in ``docs/journal-format.md``.
        value: inline payload: a task's arguments or its result, encoded.
    """

    seq: int
    time: float
    kind: str
    task_id: str | None = None
    attempt: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    value: bytes | None = None


@dataclass(slots=True)
class Fact:
    """A record that has not been given its place in a journal yet."""

    kind: Kind
    task_id: str | None = None
    attempt: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    value: bytes | None = None

    def at(self, seq: int, now: float) -> Record:
        """The record of this fact at position ``seq`` and time ``now`` (Unix seconds)."""
        return Record(seq, now, self.kind, self.task_id, self.attempt, self.data, self.value)
