"""Which task is running here."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol


class Lifeline(Protocol):
    """What connects an attempt with its engine while the body runs."""

    #: What the attempt before this one said last with ``workflow.heartbeat``.
    last_heartbeat: Any

    #: Workflow, task, number and token of the attempt.
    attempt: tuple[str, str, int, str]

    def beat(self, details: Any) -> None:
        """Give a sign of life."""

    def checkpoint(self, value: Any) -> None:
        """Have the progress of the body recorded."""

    def restored(self, default: Any) -> Any:
        """What an attempt of the task has saved last."""

    def later(self, node: Any) -> None:
        """Have a call of its own made of ``node`` when the method of an actor that runs has ended well."""

    def next_child(self) -> int:
        """Count the child workflows that the attempt starts."""

    def next_call(self, what: str) -> int:
        """Count the calls of actors that the attempt makes."""

    def is_cancelled(self) -> bool:
        """Whether the attempt was asked to stop."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The task whose body runs in the present context."""

    storage: str
    workflow_id: str
    task_id: str
    attempt: int
    lifeline: Lifeline | None = None
    listener: str | None = None
    submission: str = ""
    callers: tuple[str, ...] = ()


# The only module state in the library: it must be found by code that user functions call.
current: ContextVar[TaskContext | None] = ContextVar("rayflow_task", default=None)
_lifelines: list[Lifeline] = []  # of the one attempt in this process, for its threads to find


def hold(lifeline: Lifeline | None) -> None:
    """Have every thread of this process find ``lifeline``."""
    _lifelines[:] = [] if lifeline is None else [lifeline]


def lifeline() -> Lifeline | None:
    """The lifeline of the attempt that runs in this process, if there is one."""
    task = current.get()
    if task is not None and task.lifeline is not None:
        return task.lifeline
    return _lifelines[0] if _lifelines else None


def inside(name: str) -> Lifeline:
    """The lifeline of the attempt that calls ``workflow.<name>``.

    Raises:
        RuntimeError: not called inside a task of a workflow.
    """
    found = lifeline()
    if found is None:
        raise RuntimeError(f"workflow.{name} works inside a task of a workflow.")
    return found
