"""Folding journal records into registry rows, in memory.

One `Draft` holds the rows of one workflow that a batch of records touches. Nothing here talks to
the database but the loader that is passed in; `projection` loads, folds and stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from workflows_app import payloads
from workflows_app.gateway import EngineRecord
from workflows_app.models import (
    CommandKind,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
    WorkflowStatus,
)

ENDED = frozenset({WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED})
# Cause of an attempt that nobody finished: the engine that ran it lost the workflow.
LOST = "lost"


class Loader(Protocol):
    """Gets rows of one workflow that the records do not name."""

    def open_tasks(self, workflow: Workflow) -> Iterable[Task]:
        """All tasks that are PENDING or RUNNING."""

    def replaced_tasks(self, workflow: Workflow) -> Iterable[Task]:
        """All tasks that handed over to another one and are not SUCCESSFUL yet."""


class SequenceGap(Exception):
    """Records are missing between what is stored and what came."""


class Draft:
    """The rows of one workflow while records are applied to them."""

    def __init__(self, workflow: Workflow, tasks: Iterable[Task], loader: Loader) -> None:
        self.workflow = workflow
        self.tasks = {task.task_id: task for task in tasks}
        self.changed_tasks: dict[str, Task] = {}
        self.attempts: dict[tuple[str, int], TaskAttempt] = {}
        self.events: list[WorkflowEvent] = []
        self._loader = loader
        self._replaced_loaded = False

    def apply(self, records: Sequence[EngineRecord]) -> None:
        """Apply what is new among `records`.

        Raises:
            SequenceGap: the first new record does not follow the last one applied.
        """
        for record in records:
            if record.seq <= self.workflow.event_seq:
                continue
            if record.seq != self.workflow.event_seq + 1:
                raise SequenceGap(
                    f"record {record.seq} came after record {self.workflow.event_seq}"
                )
            self._apply_one(record)

    def _apply_one(self, record: EngineRecord) -> None:
        now = moment(record.time)
        self.workflow.event_seq = record.seq
        self.workflow.changed_at = now
        self.events.append(
            WorkflowEvent(
                workflow=self.workflow,
                seq=record.seq,
                time=now,
                kind=payloads.text(record.kind, 40),
                task_id=None if record.task_id is None else payloads.text(record.task_id),
                attempt=record.attempt,
                data=payloads.event_data(record.data),
            )
        )
        # A kind this version does not know is an event like any other and changes nothing else.
        handler = _HANDLERS.get(record.kind)
        if handler is not None:
            handler(self, record, now)

    # --- rows -------------------------------------------------------------------------------

    def task(self, record: EngineRecord) -> Task:
        """The task a record is about."""
        task_id = payloads.text(record.task_id)
        found = self.tasks.get(task_id)
        if found is None:
            raise LookupError(f"record {record.seq} is about the unknown task {task_id!r}")
        return found

    def set_status(self, task: Task, status: WorkflowStatus) -> None:
        """Change a task's status and the workflow's counters with it."""
        if task.status != status:
            self._count(task.status, -1)
            self._count(status, +1)
            task.status = status
        self.touch(task)

    def add(self, task: Task) -> None:
        """Take a new task in."""
        self.tasks[task.task_id] = task
        self.workflow.tasks_total += 1
        self._count(task.status, +1)
        self.touch(task)

    def touch(self, task: Task) -> None:
        """Note that a task's row has changed."""
        task.changed_seq = self.workflow.event_seq
        self.changed_tasks[task.task_id] = task

    def attempt(self, task: Task, number: int, **fields: Any) -> None:
        """Set the fields of one attempt; a later record of the same batch adds to an earlier."""
        known = self.attempts.get((task.task_id, number))
        if known is None:
            known = self.attempts[task.task_id, number] = TaskAttempt(task=task, number=number)
        for name, value in fields.items():
            setattr(known, name, value)

    def open_tasks(self) -> list[Task]:
        """All PENDING and RUNNING tasks, fetched if need be."""
        self._take_in(self._loader.open_tasks(self.workflow))
        open_states = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)
        return [task for task in self.tasks.values() if task.status in open_states]

    def follow_replacement(self, task: Task) -> None:
        """Give the tasks that wait for `task` as their replacement its outcome, transitively."""
        while task.parent_task_id is not None:
            waiting = self._waiting_for(task)
            if waiting is None:
                return
            mirror(self, waiting, task)
            task = waiting

    def _waiting_for(self, task: Task) -> Task | None:
        parent = self.tasks.get(task.parent_task_id or "")
        if parent is None and not self._replaced_loaded:
            self._replaced_loaded = True
            self._take_in(self._loader.replaced_tasks(self.workflow))
            parent = self.tasks.get(task.parent_task_id or "")
        if parent is None or parent.replaced_by != task.task_id:
            return None
        return parent

    def _take_in(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.tasks.setdefault(task.task_id, task)

    def _count(self, status: str, change: int) -> None:
        name = f"tasks_{status.lower()}"
        setattr(self.workflow, name, getattr(self.workflow, name) + change)


def moment(seconds: float) -> datetime:
    """A journal's time as an aware datetime."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def mirror(draft: Draft, task: Task, replacement: Task) -> None:
    """A task that handed over ends as the task that replaced it does."""
    ended = replacement.status in ENDED
    task.finished_at = replacement.finished_at if ended else None
    task.duration_ms = _milliseconds(task.started_at, task.finished_at)
    task.error = replacement.error if ended else None
    task.preview = replacement.preview if ended else None
    draft.set_status(task, WorkflowStatus(replacement.status) if ended else WorkflowStatus.RUNNING)


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return max(0, round((end - start).total_seconds() * 1000))


def _when(value: Any, default: datetime) -> datetime:
    return default if value is None else moment(value)


# --- one handler per kind of record -------------------------------------------------------------


def _accepted(draft: Draft, record: EngineRecord, now: datetime) -> None:
    data = payloads.document(record.data)
    workflow = draft.workflow
    workflow.root_task_id = data.get("root") or ""
    workflow.definition = data.get("definition")
    workflow.params = data.get("params")
    workflow.user_metadata = data.get("metadata") or {}
    workflow.tags = data.get("tags") or {}
    workflow.created_by = data.get("created_by") or ""
    workflow.created_at = now


def _task(draft: Draft, record: EngineRecord, now: datetime) -> None:
    data = payloads.document(record.data)
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
    if is_new:
        draft.add(task)
    else:
        draft.touch(task)


def _status(draft: Draft, record: EngineRecord, now: datetime) -> None:
    data = payloads.document(record.data)
    workflow = draft.workflow
    workflow.status = WorkflowStatus(data["status"])
    workflow.error = data.get("error")
    if workflow.status == WorkflowStatus.RUNNING and workflow.started_at is None:
        workflow.started_at = now
    workflow.finished_at = now if workflow.status in ENDED else None
    workflow.duration_ms = _milliseconds(workflow.started_at, workflow.finished_at)
    if workflow.status == WorkflowStatus.SUCCESSFUL:
        workflow.output_preview = data.get("output")
    if (
        workflow.status == WorkflowStatus.RESUMABLE
        and workflow.error is None
        and data.get("reason")
    ):
        workflow.error = {"type": "Interrupted", "message": data["reason"]}
    if workflow.status in ENDED or workflow.pending_command == CommandKind.RESUME:
        _confirm(workflow, CommandKind.CANCEL, CommandKind.RESUME)
    if workflow.status == WorkflowStatus.CANCELED:
        for task in draft.open_tasks():
            _end_canceled(draft, task, now)


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
    task.finished_at = task.duration_ms = None
    replacement = draft.tasks.get(task.replaced_by)
    if replacement is not None and replacement.status in ENDED:
        mirror(draft, task, replacement)
        draft.follow_replacement(task)
    else:
        draft.set_status(task, WorkflowStatus.RUNNING)


def _ended(
    draft: Draft, record: EngineRecord, now: datetime, *, attempt_status: WorkflowStatus
) -> Task:
    """Fill in what every end of an attempt has in common, on the task and on the attempt."""
    task = draft.task(record)
    data = record.data
    task.attempt = record.attempt or max(task.attempt, 1)
    task.started_at = _when(data.get("started_at"), task.started_at or now)
    task.finished_at = _when(data.get("finished_at"), now)
    task.duration_ms = _milliseconds(task.started_at, task.finished_at)
    task.node = payloads.text(data.get("node") or "", 200)
    task.pid = data.get("pid")
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
    task.duration_ms = _milliseconds(task.started_at, now)
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
    _confirm(workflow, CommandKind.RESUME)


def _sealed(draft: Draft, record: EngineRecord, now: datetime) -> None:
    _void_running_attempts(draft, now)


def _void_running_attempts(draft: Draft, now: datetime) -> None:
    """Ownership moved: what was running is lost. A task that handed over has nothing to lose."""
    for task in draft.open_tasks():
        if task.status == WorkflowStatus.RUNNING and task.replaced_by is None:
            _close_attempt(draft, task, now, status=WorkflowStatus.FAILED, cause=LOST)
            _back_to_pending(draft, task)


def _back_to_pending(draft: Draft, task: Task) -> None:
    task.started_at = task.finished_at = task.duration_ms = task.error = None
    draft.set_status(task, WorkflowStatus.PENDING)
    draft.follow_replacement(task)


_HANDLERS: dict[str, Callable[[Draft, EngineRecord, datetime], None]] = {
    "accepted": _accepted,
    "task": _task,
    "status": _status,
    "started": _started,
    "succeeded": _succeeded,
    "failed": _failed,
    "continued": _continued,
    "task_canceled": _task_canceled,
    "resumed": _resumed,
    "sealed": _sealed,
}
