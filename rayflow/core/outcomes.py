"""Outcomes of attempts, and the facts that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rayflow.core import finals
from rayflow.core.actors import Calls
from rayflow.core.compact import compact
from rayflow.core.graph import Graph, StoredValue, task_facts
from rayflow.core.ids import Either
from rayflow.core.planner import unstored
from rayflow.core.records import Fact, Kind, Record
from rayflow.core.retry import Cause, catcher, may_retry, retry_at
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus


@compact
@dataclass(slots=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        kind: ``value``, ``graph`` (the task continues as a sub-graph), ``error`` (the body raised),
            ``lost`` (its process died or Ray failed), ``stopped`` (we stopped it), ``expired`` (we
            stopped it because it took too long) or ``returned`` (it did not begin, and is to begin anew).
        value: the encoded result; for ``error`` and ``expired`` the encoded ``(None, exception)``.
        checkpoint: whether ``value`` may be written into the journal.
        error: type, message and traceback, for ``error``, ``lost`` and ``expired``.
        hops: graphs of one task each that have run already, in place, one after the other; ``value`` or
            ``graph`` is what became of the last one.
        retryable: for ``error``: False when another attempt cannot help (the code is missing, ...).
        detail: timings (Unix seconds), node and pid of the attempt, and its last heartbeat if it has
            failed.
        state: what a method of a virtual actor has left, with a preview of it.
        laters: graphs that a method has asked to be calls of their own.
        lost_inputs: for ``lost``: positions of upstream tasks whose values in Ray's object store are gone.
        has_died: whether the process ended with the attempt, as far as Ray knows.
    """

    kind: Literal["returned", "value", "graph", "error", "lost", "stopped", "expired"]
    value: StoredValue | None = None
    checkpoint: bool = True
    preview: dict[str, Any] | None = None
    graph: Graph | None = None
    hops: tuple[Graph, ...] = ()
    error: dict[str, Any] | None = None
    retryable: bool = True
    detail: dict[str, Any] = field(default_factory=dict)
    state: StoredValue | None = None
    state_preview: dict[str, Any] | None = None
    laters: tuple[Graph, ...] = ()
    lost_inputs: tuple[int, ...] = ()
    has_died: bool = False


RETURNED = Outcome("returned")


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
    if outcome.kind == "returned" or _comes_too_early(state, task_id):
        return []
    if task_id in state.outdated:
        return []  # it has used a value that did not become durable, and runs again
    if outcome.kind in ("value", "graph"):
        misfit = _misfit(state, outcome)
        if misfit is None:
            facts = _ended_well(state, task, attempt, outcome)
            return _left(state, facts, outcome) if task.method is not None else facts
        error = {"type": "ValueError", "message": misfit, "traceback": None}
        outcome = replace(outcome, kind="error", error=error, value=None, retryable=False)
    if outcome.kind == "stopped":
        return _stopped(state, task, attempt)
    return _failed(state, task, attempt, outcome, now)


def _comes_too_early(state: WorkflowState, task_id: str) -> bool:
    """Whether it rests on a call of the same batch that has not ended."""
    return state.calls is not None and not state.calls.turns.is_first(task_id)


def succeeded(task_id: str, attempt: int, outcome: Outcome, *, caught: bool = False) -> Fact:
    """The fact that a task has the value of ``outcome``; ``caught``: which stands for an error."""
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


def outcome_of(record: Record) -> Outcome:
    """The inverse of :func:`succeeded`, for a value that was not caught."""
    data = dict(record.data)
    value = StoredValue.from_record(data.pop("value"), record.value)
    preview = data.pop("preview")
    del data["caught"]
    return Outcome("value", value=value, preview=preview, detail=data)


def _ended_well(
    state: WorkflowState, task: TaskState, attempt: int, outcome: Outcome
) -> list[Fact]:
    """Hand-overs, new tasks and the value, in one list: they are committed together or not at all."""
    graphs = (*outcome.hops, *([outcome.graph] if outcome.graph is not None else []))
    if not graphs:
        return [succeeded(task.task_id, attempt, outcome)]
    facts: list[Fact] = []
    names, ids = dict(state.names) if outcome.hops else state.names, set[str]()
    current, options = task.task_id, task.options
    for graph in graphs:
        made, root = task_facts(
            graph,
            Either(state, ids),
            names,
            parent=current,
            catch=options["catch_exceptions"],
            checkpoint=options["checkpoint"],
            finally_of=task.finally_of,
            is_kept=finals.need(state, task),
            is_stored=state.calls is not None,
        )
        hand_over = Fact(Kind.CONTINUED, current, attempt, {"root": root, **outcome.detail})
        facts += [hand_over, *made]
        if graph is not graphs[-1] or outcome.graph is None:
            (only,) = made
            names = {**names, only.data["name"]: names.get(only.data["name"], 0) + 1}
            ids.add(root)
            current, options, attempt = root, only.data["options"], 1
    if outcome.graph is None:
        facts.append(succeeded(current, attempt, outcome))
    return facts


def _left(state: WorkflowState, facts: list[Fact], outcome: Outcome) -> list[Fact]:
    """The facts of a method that has ended well, with the state that it has left and its later calls."""
    first, left = facts[0], outcome.state
    assert left is not None
    payload = (first.value or b"") + (left.data or b"")
    described = {**left.describe(), "preview": outcome.state_preview}
    data = {**first.data, "state": described}
    facts = [replace(first, data=data, value=payload or None), *facts[1:]]
    names, ids = dict(state.names), set[str]()
    new = [fact for fact in facts if fact.kind is Kind.TASK]
    for graph in outcome.laters:
        for fact in new:
            names[fact.data["name"]] = names.get(fact.data["name"], 0) + 1
            ids.add(fact.task_id or "")
        new, _ = task_facts(graph, Either(state, ids), names, is_stored=True, call_id="")
        facts += new
    return facts


def _misfit(state: WorkflowState, outcome: Outcome) -> str | None:
    """What is wrong with the graphs that an attempt has ended with, if anything is."""
    if outcome.graph is None and not outcome.laters:
        return None
    graphs = (*([outcome.graph] if outcome.graph is not None else []), *outcome.laters)
    nodes = [node for graph in graphs for node in graph.nodes]
    unknown = sorted({t for node in nodes for t in node.known if t not in state.tasks})
    if unknown:
        return (
            f"it continues as a graph that refers to {', '.join(unknown)}, which workflow "
            f"'{state.workflow_id}' does not have; references to tasks mean something in their own workflow only"
        )
    if state.calls is not None and any(graph.finals for graph in graphs):
        return "finally_ belongs to workflows; a call of an actor ends without one"
    if state.calls is None and any(node.method is not None for node in nodes):
        return "self.method.step(...) belongs to virtual actors; use handle.method.bind(...) in a workflow"
    return None


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
        if state.calls is not None and not state.calls.replays:
            return _failed_call(state, state.calls, task, attempt, data)
        return [Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "final"})]
    facts = [Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "caught"})]
    if taker is not task:
        facts += [
            Fact(Kind.TASK_CANCELED, other.task_id, None, {"reason": f"caught by {taker.task_id}"})
            for other in state.descendants(taker.task_id)
            if other is not task and other.status in (TaskStatus.PENDING, TaskStatus.CONTINUED)
        ]
    return [*facts, succeeded(taker.task_id, attempt, outcome, caught=True)]


def _failed_call(
    state: WorkflowState, calls: Calls, task: TaskState, attempt: int | None, data: dict[str, Any]
) -> list[Fact]:
    """The failure of a call is its own: the actor goes on with the next one."""
    data = {**data, "next": "call"}
    others = [state.tasks[t] for t in calls.open.get(task.call or "", ()) if t in state.tasks]
    facts = [
        Fact(Kind.TASK_CANCELED, other.task_id, None, {"reason": f"{task.task_id} failed"})
        for other in others
        if other.status in (TaskStatus.PENDING, TaskStatus.CONTINUED)
        and other.task_id not in (task.task_id, task.call)
    ]
    if task.call != task.task_id:
        facts.append(Fact(Kind.FAILED, task.task_id, attempt, {**data, "next": "caught"}))
        data, attempt = {**data, "error": {**data["error"], "task_id": task.task_id}}, None
    return [*facts, Fact(Kind.FAILED, task.call, attempt, data)]


def _made_again(state: WorkflowState, task: TaskState, outcome: Outcome) -> list[Fact]:
    """Let inputs that are lost and were not to be stored be computed once more."""
    lost = unstored(state, [task.upstream[position] for position in outcome.lost_inputs])
    if not lost or state.is_ending:
        return []
    return [Fact(Kind.RESUMED, data={"reset": lost, "asked": False})]


_CAUSES: dict[str, Cause] = {"error": "application", "lost": "system", "expired": "timeout"}
