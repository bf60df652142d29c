"""Whether a failed attempt is tried again, and who else may take its error."""

from __future__ import annotations

from typing import Literal

from rayflow.core.state import TaskState, WorkflowState

Cause = Literal["application", "system"]


def may_retry(task: TaskState, cause: Cause) -> bool:
    """Whether ``task`` has an attempt left after one that failed for ``cause``.

    ``max_retries`` counts additional attempts and is one budget for both causes; ``-1`` has no end.
    System errors always use it, application errors only with ``retry_exceptions`` (seed 002,
    "Error handling"; ``ray-workflows`` 1.7).
    """
    if cause == "application" and not task.options["retry_exceptions"]:
        return False
    budget = task.options["max_retries"]
    return bool(budget == -1 or task.failures < budget)


def catcher(state: WorkflowState, task: TaskState) -> TaskState | None:
    """The task that takes ``task``'s application error as its value, if any.

    The error is offered to the task itself, then to the task whose continuation created it, and so
    on up (``ray-workflows`` 1.7).
    """
    current: TaskState | None = task
    while current is not None:
        if current.options["catch_exceptions"]:
            return current
        current = state.tasks[current.parent] if current.parent is not None else None
    return None
