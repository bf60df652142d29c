"""Outcomes of attempts, and the facts that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from rayflow.core import finals
from rayflow.core.graph import Graph, StoredValue, task_facts
from rayflow.core.records import Fact, Kind
from rayflow.core.retry import Cause, catcher, may_retry, retry_at
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        kind: ``value``, ``graph`` (the task continues as a sub-graph), ``error`` (the body raised),
            ``lost`` (its process died or Ray failed), ``stopped`` (we stopped it) or ``expired`` (we
            stopped it because it took too long).
        value: the encoded result; for ``error`` and ``expired`` the encoded ``(None, exception)``.
        checkpoint: whether ``value`` may be written into the journal.
        error: type, message and traceback, for ``error``, ``lost`` and ``expired``.
        retryable: for ``error``: False when another attempt cannot help (the code is missing, ...).
        detail: timings (Unix seconds), node and pid of the attempt, and its last heartbeat if it has
            failed.
        has_died: whether the process ended with the attempt, as far as Ray knows.
    """

    kind: Literal["value", "graph", "error", "lost", "stopped", "expired"]
    value: StoredValue | None = None
    checkpoint: bool = True
    preview: dict[str, Any] | None = None
    graph: Graph | None = None
    error: dict[str, Any] | None = None
    retryable: bool = True
    detail: dict[str, Any] = field(default_factory=dict)
    has_died: bool = False


def facts_of(
    state: WorkflowState, task_id: str, attempt: int, outcome: Outcome, now: float
) -> list[Fact]:
    """The facts to commit for ``outcome``. Empty when it comes too late to matter.

    ``now``: Unix seconds; a wait before the next attempt is counted from it.
    """
    task = state.tasks.get(task_id)
    if (
        task is None
        or task.status is not TaskStatus.PENDING
        or state.in_flight.get(task_id) != attempt
    ):
        return []
    if task_id in state.outdated:
        return []  # it has used a value that did not become durable, and runs again
    if outcome.kind == "value":
        return [_succeeded(task, attempt, outcome)]
    if outcome.kind == "graph":
        return _continued(state, task, attempt, outcome)
    if outcome.kind == "stopped":
        return _stopped(state, task, attempt)
    return _failed(state, task, attempt, outcome, now)


def _succeeded(task: TaskState, attempt: int, outcome: Outcome, *, caught: bool = False) -> Fact:
    value = outcome.value
    assert value is not None
    kept = value if outcome.checkpoint else None
    data = {
        "value": None if kept is None else kept.describe(),
        "preview": outcome.preview,
        "caught": caught,
        **outcome.detail,
    }
    return Fact(Kind.SUCCEEDED, task.task_id, attempt, data, None if kept is None else kept.data)


def _continued(state: WorkflowState, task: TaskState, attempt: int, outcome: Outcome) -> list[Fact]:
    """The hand-over and the new tasks, in one list: they are committed together or not at all."""
    assert outcome.graph is not None
    facts, root = task_facts(
        outcome.graph,
        state,
        state.names,
        parent=task.task_id,
        catch=task.options["catch_exceptions"],
        checkpoint=task.options["checkpoint"],
        finally_of=task.finally_of,
        is_kept=finals.need(state, task),
    )
    hand_over = Fact(Kind.CONTINUED, task.task_id, attempt, {"root": root, **outcome.detail})
    return [hand_over, *facts]


def _stopped(state: WorkflowState, task: TaskState, attempt: int) -> list[Fact]:
    under_way, facts = state.under_way[task.task_id], []
    if under_way.heartbeat is not None:
        data = {"details": under_way.heartbeat}
        facts.append(Fact(Kind.HEARTBEAT, task.task_id, attempt, data))
    if state.cancel_requested or not (state.suspend_requested or state.timed_out):
        facts.append(Fact(Kind.TASK_CANCELED, task.task_id, attempt, {"reason": "stopped"}))
    return facts  # if it is not canceled it runs again when the workflow is resumed


def _failed(
    state: WorkflowState, task: TaskState, attempt: int, outcome: Outcome, now: float
) -> list[Fact]:
    cause = _CAUSES[outcome.kind]
    data = {"error": outcome.error, "cause": cause, "retry_at": None, **outcome.detail}
    heartbeat = state.under_way[task.task_id].heartbeat
    if heartbeat is not None and "heartbeat" not in data:
        data["heartbeat"] = heartbeat
    if outcome.retryable and may_retry(task, cause):
        data["retry_at"] = retry_at(state.workflow_id, task, attempt, cause, now)
        return [Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "retry"})]
    taker = None if cause == "system" else catcher(state, task)
    if taker is None or outcome.value is None:
        return [Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "final"})]
    facts = [Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "caught"})]
    if taker is not task:
        facts += [
            Fact(Kind.TASK_CANCELED, other.task_id, None, {"reason": f"caught by {taker.task_id}"})
            for other in state.descendants(taker.task_id)
            if other is not task and other.status in (TaskStatus.PENDING, TaskStatus.CONTINUED)
        ]
    return [*facts, _succeeded(taker, attempt, outcome, caught=True)]


_CAUSES: dict[str, Cause] = {"error": "application", "lost": "system", "expired": "timeout"}
