"""Which task is running here."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The task whose body runs in the present context."""

    storage: str
    workflow_id: str
    task_id: str
    attempt: int
    listener: str | None = None


# The one piece of module state in the library: it must be found by code that user functions call.
current: ContextVar[TaskContext | None] = ContextVar("rayflow_task", default=None)
