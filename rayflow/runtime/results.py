"""Which output a question gets, live or from the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core.graph import StoredValue
from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.state import TaskState, TaskStatus, WorkflowState, fold
from rayflow.errors import (
    OutputNotAvailableError,
    WorkflowCancellationError,
    WorkflowExecutionError,
)
from rayflow.runtime.references import Output


def unknown(workflow_id: str) -> OutputNotAvailableError:
    """The error for an id that no workflow has."""
    return OutputNotAvailableError(f"No workflow has the id '{workflow_id}', so it has no output.")


def from_journal(
    storage: str,
    records: Sequence[Record],
    workflow_id: str,
    task_id: str | None,
    *,
    waited: bool,
) -> Output:
    """The output of a workflow at rest, or the error that says why there is none.

    ``waited``: the question was asked while the workflow was live, so its end is the answer.

    Raises:
        WorkflowExecutionError, WorkflowCancellationError, OutputNotAvailableError
    """
    state = fold(records)
    if state.status is WorkflowStatus.CANCELED and (waited or task_id is None):
        if waited:
            raise WorkflowCancellationError(workflow_id)
        raise OutputNotAvailableError(f"Workflow '{workflow_id}' was cancelled; it has no output.")
    task = state.tasks.get(task_id if task_id is not None else state.root)
    has_failed = task_id is None and state.error is not None  # perhaps in a finally_ task alone
    if task is not None and task.status is TaskStatus.SUCCESSFUL and not has_failed:
        stored = _stored(state, records, task)
        if stored is not None:
            return Output(storage, stored, None)
    if waited and state.status in (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE):
        raise WorkflowExecutionError(workflow_id, state.error or _interruption(state))
    raise _refusal(state, workflow_id, task_id, task)


def _interruption(state: WorkflowState) -> dict[str, Any] | None:
    if not state.suspend_requested:
        return None
    return {"type": "Suspended", "message": "it was suspended before it had a result"}


def _stored(state: WorkflowState, records: Sequence[Record], task: TaskState) -> StoredValue | None:
    """The checkpoint of ``task``, at the end of its continuations."""
    while task.continued_to is not None and (
        state.tasks[task.continued_to].status is TaskStatus.SUCCESSFUL
    ):
        task = state.tasks[task.continued_to]
    for record in reversed(records):
        if record.task_id == task.task_id and record.kind == Kind.SUCCEEDED:
            described = record.data["value"]
            return None if described is None else StoredValue.from_record(described, record.value)
    return None


def _refusal(
    state: WorkflowState, workflow_id: str, task_id: str | None, task: TaskState | None
) -> OutputNotAvailableError:
    if task_id is None:
        return OutputNotAvailableError(
            f"Workflow '{workflow_id}' is {state.status}; it has no output. "
            f"workflow.resume({workflow_id!r}) continues it."
        )
    if task is None:
        return OutputNotAvailableError(
            f"No such task_id '{task_id}' in workflow '{workflow_id}', and it has ended."
        )
    return OutputNotAvailableError(
        f"Task '{task_id}' of workflow '{workflow_id}' has no stored output: it is {task.status}."
    )
