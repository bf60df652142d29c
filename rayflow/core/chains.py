"""What is dropped of the tasks that continuations have made, because nobody will ask for it again.

Dropped ids stay known in ``WorkflowState.gone``: no other task gets one, and the journal has their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayflow.core.state import WorkflowState
    from rayflow.core.tasks import TaskState


def shorten(state: WorkflowState, task: TaskState) -> None:
    """Drop a link of a chain of continuations, so that a long chain needs no more memory.

    ``task`` has handed over what was handed to it, and its graph is done. If it would do with an
    error and a checkpoint what the task before it does, that task stands for it from now on. What
    belongs to a ``finally_`` task, or has one, or is watched, stays until the end of the workflow.
    """
    if task.finally_of is not None or task.resolves is None or task.continued_to is None:
        return
    before = state.tasks[task.resolves]
    graph = list(state.descendants(before.task_id))
    if not _are_alike(task, before) or any(t.task_id in state.finals for t in graph):
        return
    if any(t.unread or (t is not task and t.status != "SUCCESSFUL") for t in graph):
        return
    for dropped in graph:
        _drop(state, dropped.task_id)
    before.children.clear()
    before.continued_to = task.continued_to
    state.links[task.continued_to] = before.task_id
    state.gone[task.task_id] = before.task_id


def begin_anew(state: WorkflowState, task_id: str) -> None:
    """Let a ``finally_`` task that has continued as a graph begin with its body again.

    There is a new end, and its inputs may be ``finally_`` tasks that run again as well. So its graph
    is no more, and neither are the ``finally_`` tasks of that.
    """
    task = state.tasks.get(task_id)
    if task is None or task.finally_of is None or task.continued_to is None or task.parent:
        return
    doomed = [t.task_id for t in state.descendants(task_id)]
    while doomed:
        dropped = doomed.pop()
        for final in state.finals.pop(dropped, []):
            doomed += [final, *(t.task_id for t in state.descendants(final))]
        _drop(state, dropped)
    group = state.finals[task.finally_of]
    group[:] = [member for member in group if member in state.tasks]
    state.links.pop(task.continued_to, None)
    task.children.clear()
    task.continued_to = None


def _drop(state: WorkflowState, task_id: str) -> None:
    if state.tasks.pop(task_id, None) is not None:
        state.waits.end(task_id)
        state.gone[task_id] = None


def _are_alike(task: TaskState, other: TaskState) -> bool:
    """Whether it makes no difference to which of two tasks of a chain an error or a value goes."""
    catch = bool(task.options["catch_exceptions"]) == bool(other.options["catch_exceptions"])
    stored = False not in (task.options["checkpoint"], other.options["checkpoint"])
    return catch and stored
