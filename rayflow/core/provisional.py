"""Values that are there but not durable yet: what ``checkpoint="async"`` adds to a state.

A task that is under way and has its value already lends it to its consumers, so that they can start.
Like ``in_flight`` this is knowledge of the present owner only: after a crash nothing is lent, and
whatever had started from a lent value runs again, since none of its outcomes was recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayflow.core.state import WorkflowState
    from rayflow.core.tasks import TaskState


def may_start(task: TaskState) -> bool:
    """Whether all inputs of ``task`` are there: recorded, or lent if it does nothing but compute."""
    return not task.missing or (task.missing == task.lent and not task.options.get("effect"))


def lend(state: WorkflowState, task_id: str) -> list[TaskState]:
    """``task_id`` has a value, and so has every task that continues as it. Returns the consumers."""
    consumers: list[TaskState] = []
    current: str | None = task_id
    while current is not None:
        task = state.tasks[current]
        if current in state.provisional or task.status == "SUCCESSFUL":
            break
        state.provisional[current] = None
        for dependent_id in task.dependents:
            state.tasks[dependent_id].lent += 1
            consumers.append(state.tasks[dependent_id])
        current = task.resolves
    return consumers


def withdraw(state: WorkflowState, task_id: str) -> None:
    """The value of ``task_id`` does not become durable: nothing may come of what has used it.

    Attempts that started from it are outdated, and so are those that started from their values.
    """
    stack = [task_id]
    while stack:
        task = state.tasks[stack.pop()]
        if task.task_id not in state.provisional:
            continue
        del state.provisional[task.task_id]
        if task.resolves is not None:
            stack.append(task.resolves)
        for dependent_id in task.dependents:
            state.tasks[dependent_id].lent -= 1
            state.ready.pop(dependent_id, None)
            state.delayed.pop(dependent_id, None)
            if dependent_id in state.in_flight:
                state.outdated.add(dependent_id)
                stack.append(dependent_id)


def is_in_vain(state: WorkflowState, task_id: str) -> bool:
    """Whether an input of an attempt was lost, and is not made again because the workflow comes to its end."""
    task = state.tasks[task_id]
    is_stopping = state.is_ending or state.has_output
    if not is_stopping or not task.missing or task.finally_of is not None:
        return False
    return not any(_may_come(state, upstream_id) for upstream_id in task.upstream)


def _may_come(state: WorkflowState, task_id: str) -> bool:
    """Whether a value is not recorded yet, and an attempt under way may have it recorded."""
    task = state.tasks[task_id]
    while task.continued_to is not None and task.status != "SUCCESSFUL":
        task = state.tasks[task.continued_to]
    return task.status != "SUCCESSFUL" and task.task_id in state.in_flight
