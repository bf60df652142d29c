"""What a resume would do, told from a state without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from rayflow.core.planner import failed_tasks, is_abandoned, lost_values
from rayflow.core.records import WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState, TaskStatus


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What ``workflow.resume`` would do now; made by ``workflow.plan_resume``, which runs nothing.

    Attributes:
        workflow_id: the workflow.
        status: its status now. A CANCELED workflow cannot be resumed, so nothing would run.
        reused: tasks whose recorded outcome is kept; links of a long chain of continuations that need
            not be looked at any more come first.
        runs: tasks that would run, again or for the first time. They may lead to others: a task
            that continues as a graph adds tasks when it runs.
        missing: a sentence for everything that these tasks need and the storage does not have.
    """

    workflow_id: str
    status: WorkflowStatus
    reused: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def foresee(state: WorkflowState, status: WorkflowStatus) -> ResumePlan:
    """The plan for a workflow that has ``status``, without a look at the storage."""
    again = failed_tasks(state)
    reset = {*again, *lost_values(state, again)}
    final = status is WorkflowStatus.CANCELED
    runs = () if final else tuple(t for t in state.tasks if _runs(state, state.tasks[t], reset))
    kept = (TaskStatus.SUCCESSFUL, TaskStatus.CONTINUED)
    running = set(runs)
    reused = (t for t in state.tasks if t not in running and state.tasks[t].status in kept)
    return ResumePlan(state.workflow_id, status, (*state.gone, *reused), runs)


def _runs(state: WorkflowState, task: TaskState, reset: set[str]) -> bool:
    if task.continued_to is not None:
        return False  # its body has run, and what it handed over to is recorded
    waits = task.status is TaskStatus.PENDING and not is_abandoned(state, task.parent)
    return waits or task.task_id in reset
