"""Which output a question gets, live or from the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rayflow.core.actors import CallEnd
from rayflow.core.graph import StoredValue
from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.core.tasks import TaskState, TaskStatus
from rayflow.errors import (
    OutputNotAvailableError,
    WorkflowCancellationError,
)
from rayflow.runtime.failures import CallFailedError, failure
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
    status: str,
) -> Output:
    """The output of a workflow at rest, or the error that says why there is none.

    ``waited``: the question was asked while the workflow was live, so its end is the answer.
    ``status``: what the index says; the journal of an interrupted workflow ends with RUNNING.

    Raises:
        WorkflowExecutionError, WorkflowCancellationError, OutputNotAvailableError
        VirtualActorCallError: a call of an actor failed.
    """
    state = fold(records)
    if state.calls is not None and (found := _of_actor(storage, records, workflow_id, task_id)):
        return found
    if state.status is WorkflowStatus.CANCELED and (waited or task_id is None):
        if waited:
            raise WorkflowCancellationError(workflow_id)
        raise OutputNotAvailableError(f"Workflow '{workflow_id}' was cancelled; it has no output.")
    wanted = task_id if task_id is not None else state.root
    task = state.find(wanted)
    has_failed = task_id is None and state.error is not None  # perhaps in a finally_ task alone
    if not has_failed and (task is None or task.status is TaskStatus.SUCCESSFUL):
        stored = _stored(records, wanted if task is None else _source(state, task))
        if stored is not None:
            return Output(storage, stored, None)
    if waited and state.status in (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE):
        raise failure(state.accepted, workflow_id, state.error or _interruption(state))
    raise _refusal(status, workflow_id, task_id, task)


def of_call(storage: str, actor_id: str, call: str, end: CallEnd) -> Output:
    """The value of a call that has ended.

    Raises:
        VirtualActorCallError: it has ended with an error.
    """
    if end.error is not None:
        raise CallFailedError(actor_id, call, end.error)
    return Output(storage, end.value, None)


def _of_actor(
    storage: str, records: Sequence[Record], actor_id: str, call: str | None
) -> Output | None:
    """The last state of an actor, or the value of a call; None if there is no such thing.

    A state remembers the ends of some calls only, so look at that of the moment when this one ended.
    """
    state = WorkflowState()
    for record in records:
        state.apply(record)
        if state.calls is not None and call is not None and call in state.calls.ended:
            return of_call(storage, actor_id, call, state.calls.ended[call])
    if call is not None or state.calls is None or state.calls.state is None:
        return None
    return Output(storage, state.calls.state, None)


def _interruption(state: WorkflowState) -> dict[str, Any] | None:
    if not state.suspend_requested:
        return None
    return {"type": "Suspended", "message": "it was suspended before it had a result"}


def _source(state: WorkflowState, task: TaskState) -> str:
    """The task that made the value of ``task``: the end of its continuations."""
    while task.continued_to is not None and (
        state.tasks[task.continued_to].status is TaskStatus.SUCCESSFUL
    ):
        task = state.tasks[task.continued_to]
    return task.task_id


def _stored(records: Sequence[Record], task_id: str) -> StoredValue | None:
    """The checkpoint of a task."""
    for record in reversed(records):
        if record.task_id == task_id and record.kind == Kind.SUCCEEDED:
            described = record.data["value"]
            return None if described is None else StoredValue.from_record(described, record.value)
    return None


def _refusal(
    status: str, workflow_id: str, task_id: str | None, task: TaskState | None
) -> OutputNotAvailableError:
    if task_id is None:
        return OutputNotAvailableError(
            f"Workflow '{workflow_id}' is {status}; it has no output. "
            f"workflow.resume({workflow_id!r}) continues it."
        )
    if task is None:
        return OutputNotAvailableError(
            f"No such task_id '{task_id}' in workflow '{workflow_id}', which is {status}."
        )
    return OutputNotAvailableError(
        f"Task '{task_id}' of workflow '{workflow_id}' has no stored output: it is {task.status}."
    )
