"""What each kind of journal record means for the registry's rows: one handler per kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from workflows_app import failures, payloads
from workflows_app.folding import ENDED, Draft, milliseconds, mirror, moment
from workflows_app.gateway import EngineRecord
from workflows_app.models import CommandKind, Task, Workflow, WorkflowStatus

D = TypeVar("D", datetime, None)
FAILING = (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE)
# Cause of an attempt that nobody finished: the engine that ran it lost the workflow.
LOST = "lost"


class SequenceGap(Exception):
    """Records are missing between what is stored and what came."""


def apply(draft: Draft, records: Sequence[EngineRecord]) -> None:
    """Fold what is new among `records` into the draft.

    Raises:
        SequenceGap: the first new record does not follow the last one applied.
    """
    for record in records:
        last = draft.workflow.event_seq
        if record.seq <= last:
            continue
        if record.seq != last + 1:
            raise SequenceGap(f"record {record.seq} came after record {last}")
        now = draft.note(record)
        # A kind this version does not know is an event like any other and changes nothing else.
        handler = _HANDLERS.get(record.kind)
        if handler is not None:
            handler(draft, record, now)


def _when(value: Any, default: D) -> datetime | D:
    return default if value is None else moment(value)


def _accepted(draft: Draft, record: EngineRecord, now: datetime) -> None:
    data = draft.data
    workflow = draft.workflow
    workflow.root_task_id = data.get("root") or ""
    workflow.definition = data.get("definition")
    workflow.actor = payloads.text((data.get("actor") or {}).get("name") or "") or None
    workflow.params = data.get("params")
    workflow.user_metadata = data.get("metadata") or {}
    workflow.tags = data.get("tags") or {}
    workflow.created_by = data.get("created_by") or ""
    workflow.created_at = now
    origin = (data.get("forked_from") or {}).get("workflow_id")
    workflow.forked_from = payloads.text(origin) if origin else None


def _task(draft: Draft, record: EngineRecord, now: datetime) -> None:
    data = draft.data
    task_id = payloads.text(record.task_id)
    task = draft.tasks.get(task_id)
    is_new = task is None
    if task is None:
        task = Task(workflow=draft.workflow, task_id=task_id)
    task.name = data.get("name") or task_id
    task.parent_task_id = data.get("parent")
    task.upstream = data.get("upstream") or []
    task.metadata = data.get("metadata") or {}
    task.options = data.get("options") or {}
    task.waits_for = payloads.text((task.options.get("wait") or {}).get("kind") or "", 16)
    if is_new:
        draft.add(task)
    else:
        draft.touch(task)


def _status(draft: Draft, record: EngineRecord, now: datetime) -> None:
    data = draft.data
    workflow = draft.workflow
    workflow.status = WorkflowStatus(data["status"])
    workflow.error = data.get("error")
    _failed_alike(workflow, record)
    if workflow.status == WorkflowStatus.RUNNING and workflow.started_at is None:
        workflow.started_at = now
    workflow.finished_at = now if workflow.status in ENDED else None
    workflow.duration_ms = milliseconds(workflow.started_at, workflow.finished_at)
    if workflow.status == WorkflowStatus.SUCCESSFUL and workflow.actor is None:
        workflow.output_preview = data.get("output")
    if (
        workflow.status == WorkflowStatus.RESUMABLE
        and workflow.error is None
        and data.get("reason")
    ):
        workflow.error = {"type": "Interrupted", "message": data["reason"]}
    if workflow.status in (WorkflowStatus.RESUMABLE, WorkflowStatus.FAILED):
        _stop_running_attempts(draft, now)
    if workflow.status in ENDED or workflow.pending_command == CommandKind.RESUME:
        _confirm(workflow, CommandKind.CANCEL, CommandKind.SUSPEND, CommandKind.RESUME)
    if workflow.status == WorkflowStatus.RESUMABLE:
        _confirm(workflow, CommandKind.SUSPEND)
    if workflow.status == WorkflowStatus.CANCELED:
        for task in draft.open_tasks():
            _end_canceled(draft, task, now)


def _failed_alike(workflow: Workflow, record: EngineRecord) -> None:
    """A new status: a failure of its group, which nobody has resolved, or none."""
    workflow.status_seq = record.seq
    workflow.resolved = False
    has_failed = workflow.status in FAILING and workflow.error is not None
    workflow.failure_group = failures.describe(workflow.error).fingerprint if has_failed else ""


def _confirm(workflow: Workflow, *kinds: str) -> None:
    """The engine has done what a command asked for."""
    if workflow.pending_command in kinds:
        workflow.pending_command = None


def _started(draft: Draft, record: EngineRecord, now: datetime) -> None:
    task = draft.task(record)
    if _has_ended(task, record.attempt or 1):
        return
    task.attempt = record.attempt or 1
    task.started_at = now
    task.finished_at = task.duration_ms = None
    draft.attempt(task, task.attempt, status=WorkflowStatus.RUNNING, started_at=now)
    draft.set_status(task, WorkflowStatus.RUNNING)


def _has_ended(task: Task, attempt: int) -> bool:
    """Whether this attempt's outcome came before the note of its start.

    The note travels apart from the outcome, so for a short task both may be committed together
    in either order.
    """
    has_outcome = task.status in ENDED or task.replaced_by is not None or task.error is not None
    return has_outcome and task.attempt >= attempt


def _succeeded(draft: Draft, record: EngineRecord, now: datetime) -> None:
    task = _ended(draft, record, now, attempt_status=WorkflowStatus.SUCCESSFUL)
    task.preview = payloads.document(record.data.get("preview"))
    task.error = None
    _left_state(draft, record)
    draft.set_status(task, WorkflowStatus.SUCCESSFUL)
    draft.follow_replacement(task)


def _failed(draft: Draft, record: EngineRecord, now: datetime) -> None:
    task = _ended(draft, record, now, attempt_status=WorkflowStatus.FAILED)
    task.error = payloads.document(record.data.get("error"))
    if record.data.get("next") == "retry":
        task.finished_at = task.duration_ms = None
        draft.set_status(task, WorkflowStatus.PENDING)
        return
    draft.set_status(task, WorkflowStatus.FAILED)
    draft.follow_replacement(task)


def _continued(draft: Draft, record: EngineRecord, now: datetime) -> None:
    task = _ended(draft, record, now, attempt_status=WorkflowStatus.SUCCESSFUL)
    task.replaced_by = payloads.text(record.data["root"])
    task.error = None
    _left_state(draft, record)
    task.finished_at = task.duration_ms = None
    replacement = draft.tasks.get(task.replaced_by)
    if replacement is not None and replacement.status in ENDED:
        mirror(draft, task, replacement)
        draft.follow_replacement(task)
    else:
        draft.set_status(task, WorkflowStatus.RUNNING)


def _left_state(draft: Draft, record: EngineRecord) -> None:
    """What a method of an actor leaves is what the actor shows as its output."""
    if draft.workflow.actor is not None and record.data.get("state"):
        draft.workflow.output_preview = payloads.document(record.data["state"].get("preview"))


def _ended(
    draft: Draft, record: EngineRecord, now: datetime, *, attempt_status: WorkflowStatus
) -> Task:
    """Fill in what every end of an attempt has in common, on the task and on the attempt."""
    task = draft.task(record)
    data = record.data
    task.attempt = record.attempt or max(task.attempt, 1)
    task.started_at = _when(data.get("started_at"), task.started_at or now)
    task.finished_at = _when(data.get("finished_at"), now)
    task.duration_ms = milliseconds(task.started_at, task.finished_at)
    task.node = payloads.text(data.get("node") or "", 200)
    task.pid = data.get("pid")
    if data.get("reused_from"):
        task.reused_from = payloads.text(data["reused_from"])
        return task  # its attempts belong to the workflow in which they ran
    draft.attempt(
        task,
        task.attempt,
        status=attempt_status,
        cause=payloads.text(data.get("cause") or "", 16),
        started_at=task.started_at,
        finished_at=task.finished_at,
        error=payloads.document(data.get("error")),
        node=task.node,
        pid=task.pid,
    )
    return task


def _task_canceled(draft: Draft, record: EngineRecord, now: datetime) -> None:
    _end_canceled(draft, draft.task(record), now)


def _end_canceled(draft: Draft, task: Task, now: datetime) -> None:
    if task.status == WorkflowStatus.RUNNING and task.replaced_by is None:
        _close_attempt(draft, task, now, status=WorkflowStatus.CANCELED)
    task.finished_at = now
    task.duration_ms = milliseconds(task.started_at, now)
    draft.set_status(task, WorkflowStatus.CANCELED)
    draft.follow_replacement(task)


def _close_attempt(
    draft: Draft, task: Task, now: datetime, *, status: WorkflowStatus, cause: str = ""
) -> None:
    draft.attempt(
        task, task.attempt, status=status, cause=cause, started_at=task.started_at, finished_at=now
    )


def _resumed(draft: Draft, record: EngineRecord, now: datetime) -> None:
    _void_running_attempts(draft, now)
    for task_id in record.data.get("reset") or []:
        task = draft.tasks.get(payloads.text(task_id))
        if task is None:
            continue
        if task.replaced_by is None:
            _back_to_pending(draft, task)
        else:
            draft.set_status(task, WorkflowStatus.RUNNING)
    workflow = draft.workflow
    workflow.status = WorkflowStatus.RUNNING
    workflow.error = workflow.finished_at = workflow.duration_ms = None
    _failed_alike(workflow, record)
    _confirm(workflow, CommandKind.RESUME)


def _sealed(draft: Draft, record: EngineRecord, now: datetime) -> None:
    _void_running_attempts(draft, now)


def _void_running_attempts(draft: Draft, now: datetime) -> None:
    """Ownership moved: what was running is lost. A task that handed over has nothing to lose."""
    for task in draft.open_tasks():
        if task.status == WorkflowStatus.RUNNING and task.replaced_by is None:
            _close_attempt(draft, task, now, status=WorkflowStatus.FAILED, cause=LOST)
            _back_to_pending(draft, task)


def _stop_running_attempts(draft: Draft, now: datetime) -> None:
    """Nothing of a workflow runs when it has stopped; what was stopped with it waits to run again."""
    for task in draft.open_tasks():
        if task.status == WorkflowStatus.RUNNING and task.replaced_by is None:
            _close_attempt(draft, task, now, status=WorkflowStatus.CANCELED)
            _back_to_pending(draft, task)


def _back_to_pending(draft: Draft, task: Task) -> None:
    task.started_at = task.finished_at = task.duration_ms = task.error = None
    draft.set_status(task, WorkflowStatus.PENDING)
    draft.follow_replacement(task)


def _waiting(draft: Draft, record: EngineRecord, now: datetime) -> None:
    task = draft.task(record)
    task.waiting_since = now
    task.waiting_until = _when(record.data.get("until"), None)
    draft.touch(task)


_HANDLERS: dict[str, Callable[[Draft, EngineRecord, datetime], None]] = {
    "accepted": _accepted,
    "task": _task,
    "status": _status,
    "started": _started,
    "succeeded": _succeeded,
    "failed": _failed,
    "continued": _continued,
    "task_canceled": _task_canceled,
    "waiting": _waiting,
    "resumed": _resumed,
    "sealed": _sealed,
}
