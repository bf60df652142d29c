"""Whether a failed attempt is tried again, when, and who else may take its error."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState

SYSTEM_RETRIES_OF_CALLS = 3

Cause = Literal["application", "system", "timeout"]


def may_retry(task: TaskState, cause: Cause) -> bool:
    """Whether ``task`` has an attempt left after one that failed for ``cause``.

    With ``retry`` each cause has a budget of attempts of its own. Without it ``max_retries`` counts
    additional attempts and is one budget for both causes; system errors always use it, application
    errors only with ``retry_exceptions`` (seed 002, "Error handling"; ``ray-workflows`` 1.7). ``-1``
    has no end. Which exceptions are worth it at all has been judged where they were raised.

    A method of a virtual actor is tried again a few times after system errors in any case.

    An attempt that ran out of time counts as an application error for ``retry``; without it, as a
    system error.
    """
    rule = task.options.get("retry")
    if rule is not None:
        attempts = rule["system_attempts" if cause == "system" else "max_attempts"]
        return bool(attempts == -1 or _failures(task, cause) + 1 < attempts)
    if cause == "application" and not task.options["retry_exceptions"]:
        return False
    budget = task.options["max_retries"]
    if task.method is not None and cause == "system":  # who calls has not asked for a process
        return bool(budget == -1 or task.system_failures < max(budget, SYSTEM_RETRIES_OF_CALLS))
    return bool(budget == -1 or task.failures < budget)


def retry_at(
    workflow_id: str, task: TaskState, attempt: int, cause: Cause, now: float
) -> float | None:
    """When the attempt after ``attempt``, which has just failed, may start; None is at once.

    Only ``retry`` waits. The waits grow with the failures of one cause.
    """
    rule = task.options.get("retry")
    if rule is None:
        return None
    longest = _grown(rule, _failures(task, cause))
    wait = longest * (1 - rule["jitter"] * _chance(workflow_id, task.task_id, attempt))
    return now + wait if wait > 0 else None


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


def _failures(task: TaskState, cause: Cause) -> int:
    """How often ``task`` has failed for ``cause`` before."""
    return task.system_failures if cause == "system" else task.failures - task.system_failures


def _grown(rule: dict[str, Any], times: int) -> float:
    try:
        wait = float(rule["initial"]) * float(rule["factor"]) ** times
    except OverflowError:
        wait = float(rule["max"]) if rule["initial"] else 0.0
    return min(float(rule["max"]), wait)


def _chance(*what: object) -> float:
    """A number in [0, 1) that is always the same for ``what``: a restart changes no time."""
    digest = hashlib.sha256(repr(what).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
