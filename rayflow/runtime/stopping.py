"""What has become of an attempt that was to stop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rayflow.core.deadlines import UnderWay
from rayflow.core.outcomes import Outcome
from rayflow.core.state import WorkflowState
from rayflow.errors import TaskHeartbeatError, TaskTimeoutError, WorkflowError
from rayflow.storage.values import encode


def ended(state: WorkflowState, task_id: str, outcome: Outcome, now: float) -> Outcome:
    """``outcome``, in view of whether and why the attempt was to stop.

    A value that came in time stands: the work is done. What an attempt has left behind otherwise is no
    error of its own if it was to stop; and if nobody here wanted it to stop, it was lost.
    """
    attempt = state.under_way.get(task_id)
    if attempt is None or outcome.kind not in ("lost", "stopped"):
        return outcome
    if attempt.means is None:
        error = outcome.error or _CANCELED
        return replace(outcome, kind="lost", error=error)
    is_ending = state.cancel_requested or state.suspend_requested or state.timed_out
    is_final = (
        state.tasks[task_id].finally_of is not None
    )  # which runs on when a workflow is to end
    if attempt.expired is None or (is_ending and not is_final):
        return replace(outcome, kind="stopped")
    return _expired(state, task_id, attempt, now)


def described(error: WorkflowError) -> dict[str, Any]:
    """An error of RayFlow's own as it is recorded: type, message, no traceback."""
    kind = type(error)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": str(error),
        "traceback": None,
    }


def _expired(state: WorkflowState, task_id: str, attempt: UnderWay, now: float) -> Outcome:
    options = state.tasks[task_id].options
    kind, limit = _KINDS[attempt.expired or "timeout"]
    error = kind(state.workflow_id, task_id, state.in_flight[task_id], options[limit])
    place = attempt.place
    return Outcome(
        "expired",
        value=encode((None, error)).inline(),
        error=described(error),
        retryable=options.get("retry") is None or attempt.expired in options["expiry"],
        detail={
            "started_at": attempt.started_at,
            "finished_at": now,
            "node": None if place is None else place.node,
            "pid": None if place is None else place.pid,
        },
    )


_KINDS: dict[str, tuple[type[TaskTimeoutError], str]] = {
    "timeout": (TaskTimeoutError, "timeout"),
    "heartbeat": (TaskHeartbeatError, "heartbeat_timeout"),
}
_CANCELED = {
    "type": "ray.exceptions.TaskCancelledError",
    "message": "Ray cancelled the attempt, although the engine had not asked for it.",
    "traceback": None,
}
