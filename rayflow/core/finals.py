"""``finally_`` tasks: what is left to do when a workflow has otherwise come to its end.

They belong to a task, their owner, and are due if it could have started. Those of the latest owner come
first. Whether they end well or badly, the next ones follow, and then the workflow ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rayflow.core import provisional

if TYPE_CHECKING:
    from rayflow.core.state import WorkflowState
    from rayflow.core.tasks import TaskState


def due(state: WorkflowState) -> list[TaskState]:
    """The ``finally_`` tasks of the owner whose turn it is. Empty when there is nothing left to do."""
    for owner_id in reversed(state.finals):
        owner = state.tasks[owner_id]
        if owner.missing or (owner.finally_of is not None and _waiting(state, owner.finally_of)):
            continue  # it could not start, or is such a task itself and first among its own
        if waiting := _waiting(state, owner_id):
            return waiting
    return []


def again(state: WorkflowState, reset: Iterable[str]) -> list[str]:
    """Those that have run and run again, because a resume runs ``reset``: there will be a new end.

    If nothing but ``finally_`` tasks is left, those that have ended well are not repeated.
    """
    resets = set(reset)
    has_output = state.has_output
    if has_output and all(state.tasks[t].finally_of is not None for t in resets):
        return []
    members = (task_id for group in state.finals.values() for task_id in group)
    return [t for t in members if t not in resets and state.tasks[t].status != "PENDING"]


def need(state: WorkflowState, task: TaskState) -> bool:
    """Whether the value of ``task`` is, perhaps as that of what it resolves, an input of one of them.

    Or one that another task watches, which must find it in the storage, too.
    """
    current: TaskState | None = task
    while current is not None:
        if state.waits.is_watched(current.task_id):
            return True
        if any(state.tasks[d].finally_of is not None for d in current.dependents):
            return True
        current = state.tasks[current.resolves] if current.resolves is not None else None
    return False


def _waiting(state: WorkflowState, owner_id: str) -> list[TaskState]:
    """Those of one owner that are under way or can be."""
    members = (state.tasks[task_id] for task_id in state.finals[owner_id])
    found = [t for t in members if t.task_id in state.in_flight or _can_run(t)]
    # What watches tasks that will not run any more would wait for ever.
    return [] if all(_only_watches(state, task) for task in found) else found


def _can_run(task: TaskState) -> bool:
    return task.status == "PENDING" and provisional.may_start(task)


def _only_watches(state: WorkflowState, task: TaskState) -> bool:
    """Whether a task waits for the values of others, without an end and without enough of them."""
    waits, task_id = state.waits, task.task_id
    is_waiting = task_id in waits.until and task_id not in state.in_flight
    return (
        bool(task.watches)
        and is_waiting
        and waits.until[task_id] is None
        and task_id not in waits.met
    )
