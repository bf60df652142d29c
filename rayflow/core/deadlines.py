"""What takes too long, and how what must not run on is stopped: rules over a state and the time.

An attempt is asked to stop first, so that its own code can clean up. After the task's grace its process is
ended, first by Ray, then by the operating system. All times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rayflow.core.state import WorkflowState

GRACE_SECONDS = 30.0
FORCE_SECONDS = (
    10.0  # Ray's force acts at once; a process that outlives it holds up Ray's own code too
)

Means = Literal["ask", "force", "signal"]
Expiry = Literal["timeout", "heartbeat"]


@dataclass(slots=True)
class UnderWay:
    """What the present owner knows of an attempt that it has under way. It is in no journal.

    Attributes:
        started_at: when its body began; None while it waits for a place in the cluster.
        heard_at: when its body gave a sign of life.
        heartbeat: the details of that sign.
        place: the process that runs it, for whoever must find it.
        means: the latest means of stopping it; None while nobody wants it to stop.
        means_at: when that was applied.
        expired: why it was stopped, if it took too long.
        is_over: its body has ended; only its process, or the storing of its value, is left.
    """

    started_at: float | None = None
    heard_at: float | None = None
    heartbeat: Any = None
    place: Any = None
    means: Means | None = None
    means_at: float = 0.0
    expired: Expiry | None = None
    is_over: bool = False

    def apply(self, means: Means, expired: Expiry | None, now: float) -> None:
        """Note that ``means`` are used to stop it."""
        self.means, self.means_at = means, now
        self.expired = self.expired or expired

    def end_body(self) -> None:
        """Its body has returned: its process runs something else, and its value is all there is to stop."""
        self.is_over, self.place = True, None


@dataclass(frozen=True, slots=True)
class StopTask:
    """Stop the attempt of a task that is under way, by ``means``."""

    task_id: str
    means: Means = "ask"
    expired: Expiry | None = None


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing more to do before ``time`` (Unix seconds)."""

    time: float


def stops(state: WorkflowState, task_ids: Iterable[str], now: float) -> list[StopTask | WakeAt]:
    """The next step for every attempt of ``task_ids``, none of which may run on."""
    return [step for task_id in task_ids if (step := _next_means(state, task_id, now))]


def overdue(state: WorkflowState, task_ids: Iterable[str], now: float) -> list[StopTask | WakeAt]:
    """The next step for every attempt of ``task_ids`` that has a limit, or is being stopped already."""
    found: list[StopTask | WakeAt] = []
    for task_id in task_ids:
        attempt = state.under_way[task_id]
        limits = [] if attempt.means else _limits(state, task_id, attempt)
        due = [(when, why) for when, why in limits if when <= now]
        if attempt.means:
            found += stops(state, [task_id], now)
        elif due:
            found.append(StopTask(task_id, _first_means(state, task_id), min(due)[1]))
        elif limits:
            found.append(WakeAt(min(limits)[0]))
    return found


def error_of_workflow(state: WorkflowState) -> dict[str, Any]:
    """The error of a workflow that has used up its time."""
    seconds = state.accepted["workflow_timeout"]
    message = (
        f"Workflow '{state.workflow_id}' had no result after its workflow_timeout of {seconds:g} s, "
        f"so it was stopped. Its checkpoints are kept: workflow.resume({state.workflow_id!r}) "
        f"gives it another {seconds:g} s"
    )
    return {
        "type": "rayflow.errors.WorkflowTimeoutError",
        "message": message,
        "traceback": None,
        "task_id": None,
        "cause": "timeout",
    }


def _limits(state: WorkflowState, task_id: str, attempt: UnderWay) -> list[tuple[float, Expiry]]:
    if attempt.started_at is None or attempt.is_over:
        return []
    options = state.tasks[task_id].options
    limits: list[tuple[float, Expiry]] = []
    if options.get("timeout") is not None:
        limits.append((attempt.started_at + options["timeout"], "timeout"))
    if options.get("heartbeat_timeout") is not None:
        heard_at = max(attempt.started_at, attempt.heard_at or 0.0)
        limits.append((heard_at + options["heartbeat_timeout"], "heartbeat"))
    return limits


def _first_means(state: WorkflowState, task_id: str) -> Means:
    return "ask" if _grace(state, task_id) else "force"


def _next_means(state: WorkflowState, task_id: str, now: float) -> StopTask | WakeAt | None:
    attempt = state.under_way[task_id]
    if attempt.means is None:
        return StopTask(task_id, _first_means(state, task_id))
    if attempt.means == "signal":
        return None
    grace = 0.0 if attempt.is_over else _grace(state, task_id)
    patience = grace if attempt.means == "ask" else FORCE_SECONDS
    if now < attempt.means_at + patience:
        return WakeAt(attempt.means_at + patience)
    return StopTask(task_id, "force" if attempt.means == "ask" else "signal")


def _grace(state: WorkflowState, task_id: str) -> float:
    """How long an attempt has to end by itself once it has been asked to."""
    if state.no_grace:
        return 0.0
    chosen = state.tasks[task_id].options.get("grace")
    return GRACE_SECONDS if chosen is None else float(chosen)
