"""What a fork takes over from a workflow: pure, from the journal and its fold.

A fork begins with a part of the journal of its origin: every task that is still wanted, and the outcomes
of those that are not to run again. It is an ordinary workflow from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayflow.core.foresight import ResumePlan
from rayflow.core.planner import failed_tasks, is_abandoned, unstored
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus
from rayflow.core.waits import WaitKind, spec


@dataclass(frozen=True, slots=True)
class Boundary:
    """Which tasks of the origin a fork runs again, and which it does without.

    Attributes:
        runs: tasks whose bodies run; the outcomes of all others are taken over.
        changed: tasks that have continued as a graph of which a part runs again.
        closed: tasks that have continued as a graph and have a value without it: they caught its error.
        dropped: tasks that are not taken over, since what made them runs again or is closed.
    """

    runs: dict[str, None] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)


def boundary(state: WorkflowState, records: Sequence[Record], chosen: Iterable[str]) -> Boundary:
    """What runs again in a fork that begins anew at the tasks ``chosen``.

    These, all that depends on them, and what has not ended well anyway.

    Raises:
        ValueError: a task that is not there, or that another one stands for by now.
    """
    origins = [_known(state, task_id) for task_id in chosen]
    found = Boundary()
    finals = [task_id for group in state.finals.values() for task_id in group]
    watchers = _watchers(state)
    stack = [*origins, *_unfinished(state), *finals]
    while stack:
        task = state.tasks[stack.pop()]
        if task.task_id in found.runs:
            continue
        found.runs[task.task_id] = None
        stack += _affected(state, found, task, watchers)
    for lost in unstored(state, [u for t in found.runs for u in state.tasks[t].upstream]):
        if state.tasks[lost].continued_to is None:
            found.runs[lost] = None
        else:
            found.changed.add(lost)
    _drop(state, records, found)
    return found


def plan(state: WorkflowState, status: WorkflowStatus, found: Boundary) -> ResumePlan:
    """The boundary as a plan, in the order in which the tasks came."""
    runs = tuple(t for t in state.tasks if t in found.runs and t not in found.dropped)
    kept = (TaskStatus.SUCCESSFUL, TaskStatus.CONTINUED)
    left_out = {*found.runs, *found.dropped}
    gone = (t for t in state.gone if t not in found.dropped)
    reused = (t for t, task in state.tasks.items() if t not in left_out and task.status in kept)
    return ResumePlan(state.workflow_id, status, (*gone, *reused), runs)


def taken_over(state: WorkflowState, records: Sequence[Record], found: Boundary) -> list[Fact]:
    """The facts, besides ``accepted``, with which the journal of the fork begins."""
    facts: list[Fact] = []
    saved: dict[str, int] = {}
    for record in records:
        if record.task_id is None or record.task_id in found.dropped:
            continue
        if record.kind == Kind.PROGRESS and _is_unfinished(state, record.task_id):
            saved[record.task_id] = len(facts)
        elif not _is_taken(state, record, found):
            continue
        facts.append(_copy(state, record))
    outdated = {
        n
        for n, fact in enumerate(facts)
        if fact.kind is Kind.PROGRESS and saved[fact.task_id or ""] != n
    }
    return [fact for n, fact in enumerate(facts) if n not in outdated]


def _known(state: WorkflowState, task_id: str) -> str:
    if task_id in state.tasks:
        return task_id
    if task_id in state.gone:
        head = state.gone[task_id]
        hint = f"'{head}'" if head else "the task that continued as its graph"
        raise ValueError(
            f"Task '{task_id}' of workflow '{state.workflow_id}' is a link of a long chain of continuations,"
            f" which is taken over whole; fork from {hint} instead."
        )
    raise ValueError(f"No such task_id '{task_id}' in workflow '{state.workflow_id}'")


def _unfinished(state: WorkflowState) -> list[str]:
    """What a resume would run: what has failed or was stopped, and what has not run yet."""
    waits = [
        t.task_id
        for t in state.tasks.values()
        if t.status is TaskStatus.PENDING and not is_abandoned(state, t.parent)
    ]
    again = failed_tasks(state) + waits
    return [t for t in again if state.tasks[t].continued_to is None]


def _is_unfinished(state: WorkflowState, task_id: str) -> bool:
    task = state.tasks.get(task_id)
    return task is not None and task.continued_to is None and task.status != "SUCCESSFUL"


def _watchers(state: WorkflowState) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for task in state.tasks.values():
        for watched in task.watches:
            found.setdefault(watched, []).append(task.task_id)
    return found


def _affected(
    state: WorkflowState, found: Boundary, task: TaskState, watchers: dict[str, list[str]]
) -> list[str]:
    """What runs again because ``task`` does: its consumers, and those of the tasks that it belongs to."""
    affected = [*task.dependents, *watchers.get(task.task_id, ())]
    wait = spec(task)
    if task.parent is not None and wait is not None and wait["kind"] == WaitKind.CHILD:
        affected.append(task.parent)  # the child is the origin's; whoever started it starts another
    parent = task.parent
    while parent is not None and parent not in found.changed:
        found.changed.add(parent)
        above = state.tasks[parent]
        affected += [*above.dependents, *watchers.get(parent, ())]
        parent = above.parent
    return affected


def _drop(state: WorkflowState, records: Sequence[Record], found: Boundary) -> None:
    """Leave out the graphs of tasks that run again, and of those that have a value in spite of theirs."""
    makers = {
        record.task_id: record.data["parent"]
        for record in records
        if record.kind == Kind.TASK and record.task_id is not None
    }
    own = {record.task_id for record in records if record.kind == Kind.SUCCEEDED}
    found.closed.update(t for t in state.tasks if t in own and _is_closed(state, found, t))
    for task_id, maker in makers.items():  # what makes a task comes before it
        if maker is not None and (
            maker in found.runs or maker in found.closed or maker in found.dropped
        ):
            found.dropped.add(task_id)
    owners = {t for t, task in state.tasks.items() if task.finally_of in found.dropped}
    found.dropped.update(owners)
    for record in records:
        if record.kind != Kind.TASK or record.task_id in found.dropped:
            continue
        for needed in (*record.data["upstream"], *record.data.get("watches", ())):
            if needed in found.dropped:
                raise ValueError(
                    f"Task '{record.task_id}' of workflow '{state.workflow_id}' uses task '{needed}', which may"
                    f" not exist in the fork: '{makers[needed]}', which made it, would run again. Fork from a"
                    " task after it, or from one before both."
                )


def _is_closed(state: WorkflowState, found: Boundary, task_id: str) -> bool:
    """Whether a task that has a value of its own did without a part of its graph."""
    task = state.tasks[task_id]
    if task.status is not TaskStatus.SUCCESSFUL or task.continued_to is None:
        return False
    if task_id in found.runs or task_id in found.changed:
        return False
    graph = state.descendants(task_id)
    return any(t.status is not TaskStatus.SUCCESSFUL and t.finally_of is None for t in graph)


def _is_taken(state: WorkflowState, record: Record, found: Boundary) -> bool:
    task_id = record.task_id or ""
    if record.kind == Kind.TASK:
        return True
    if record.kind not in (Kind.SUCCEEDED, Kind.CONTINUED) or task_id in found.runs:
        return False
    task = state.tasks.get(task_id)
    if task is None:
        return True  # it is done for good, see rayflow.core.chains
    is_closed = task_id in found.closed
    if record.kind == Kind.CONTINUED:
        return not is_closed and task.continued_to is not None
    return task.status is TaskStatus.SUCCESSFUL and (task.continued_to is None or is_closed)


def _copy(state: WorkflowState, record: Record) -> Fact:
    data: dict[str, Any] = dict(record.data)
    if record.kind in (Kind.SUCCEEDED, Kind.CONTINUED):
        data.pop("signal", None)  # the messages stay with the origin
        data["reused_from"] = state.workflow_id
    return Fact(Kind(record.kind), record.task_id, record.attempt, data, record.value)


def borrowed(accepted: dict[str, Any]) -> Collection[str]:
    """The workflows whose stored values a fork of the workflow with this ``accepted`` record uses."""
    return [accepted["workflow_id"], *accepted.get("borrows", ())]
