"""Outcomes of attempts, and the facts that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rayflow.core import finals
from rayflow.core.graph import Graph, StoredValue, task_facts
from rayflow.core.planner import unstored
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
        hops: graphs of one task each that have run already, in place, one after the other; ``value`` or
            ``graph`` is what became of the last one.
        retryable: for ``error``: False when another attempt cannot help (the code is missing, ...).
        detail: timings (Unix seconds), node and pid of the attempt, and its last heartbeat if it has
            failed.
        lost_inputs: for ``lost``: positions of upstream tasks whose values in Ray's object store are gone.
        has_died: whether the process ended with the attempt, as far as Ray knows.
    """

    kind: Literal["value", "graph", "error", "lost", "stopped", "expired"]
    value: StoredValue | None = None
    checkpoint: bool = True
    preview: dict[str, Any] | None = None
    graph: Graph | None = None
    hops: tuple[Graph, ...] = ()
    error: dict[str, Any] | None = None
    retryable: bool = True
    detail: dict[str, Any] = field(default_factory=dict)
    lost_inputs: tuple[int, ...] = ()
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
    if outcome.kind in ("value", "graph"):
        stranger = _stranger(state, outcome)
        if stranger is None:
            return _ended_well(state, task, attempt, outcome)
        outcome = replace(outcome, kind="error", error=stranger, value=None, retryable=False)
    if outcome.kind == "stopped":
        return _stopped(state, task, attempt)
    return _failed(state, task, attempt, outcome, now)


def _succeeded(task: TaskState, attempt: int, outcome: Outcome, *, caught: bool = False) -> Fact:
    return _succeeded_as(task.task_id, attempt, outcome, caught=caught)


def _succeeded_as(task_id: str, attempt: int, outcome: Outcome, *, caught: bool) -> Fact:
    value = outcome.value
    assert value is not None
    kept = value if outcome.checkpoint else None
    data = {
        "value": None if kept is None else kept.describe(),
        "preview": outcome.preview,
        "caught": caught,
        **outcome.detail,
    }
    return Fact(Kind.SUCCEEDED, task_id, attempt, data, None if kept is None else kept.data)


def _ended_well(
    state: WorkflowState, task: TaskState, attempt: int, outcome: Outcome
) -> list[Fact]:
    """Hand-overs, new tasks and the value, in one list: they are committed together or not at all."""
    graphs = (*outcome.hops, *([outcome.graph] if outcome.graph is not None else []))
    if not graphs:
        return [_succeeded(task, attempt, outcome)]
    facts: list[Fact] = []
    names, ids = dict(state.names) if outcome.hops else state.names, set[str]()
    current, options = task.task_id, task.options
    for graph in graphs:
        made, root = task_facts(
            graph,
            _Either(state, ids),
            names,
            parent=current,
            catch=options["catch_exceptions"],
            checkpoint=options["checkpoint"],
            finally_of=task.finally_of,
            is_kept=finals.need(state, task),
        )
        hand_over = Fact(Kind.CONTINUED, current, attempt, {"root": root, **outcome.detail})
        facts += [hand_over, *made]
        if graph is not graphs[-1] or outcome.graph is None:
            (only,) = made
            names = {**names, only.data["name"]: names.get(only.data["name"], 0) + 1}
            ids.add(root)
            current, options, attempt = root, only.data["options"], 1
    if outcome.graph is None:
        facts.append(_succeeded_as(current, attempt, outcome, caught=False))
    return facts


@dataclass(frozen=True, slots=True)
class _Either:
    """The ids that a workflow has, and some that it is about to get."""

    state: WorkflowState
    more: set[str]

    def __contains__(self, task_id: object) -> bool:
        return task_id in self.more or task_id in self.state


def _stranger(state: WorkflowState, outcome: Outcome) -> dict[str, Any] | None:
    """An error if a graph refers to a task that this workflow does not have."""
    nodes = outcome.graph.nodes if outcome.graph is not None else ()
    unknown = sorted(
        {task_id for node in nodes for task_id in node.known if task_id not in state.tasks}
    )
    if not unknown:
        return None
    message = (
        f"it continues as a graph that refers to {', '.join(unknown)}, which workflow "
        f"'{state.workflow_id}' does not have; references to tasks mean something in their own workflow only"
    )
    return {"type": "ValueError", "message": message, "traceback": None}


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
        again = Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "retry"})
        return [again, *_made_again(state, task, outcome)]
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


def _made_again(state: WorkflowState, task: TaskState, outcome: Outcome) -> list[Fact]:
    """Let inputs that are lost and were not to be stored be computed once more."""
    lost = unstored(state, [task.upstream[position] for position in outcome.lost_inputs])
    is_ending = state.cancel_requested or state.suspend_requested or state.timed_out
    if not lost or is_ending or state.error is not None:
        return []
    return [Fact(Kind.RESUMED, data={"reset": lost, "asked": False})]


_CAUSES: dict[str, Cause] = {"error": "application", "lost": "system", "expired": "timeout"}
