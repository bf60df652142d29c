"""The rows of one workflow in memory, while journal records are folded into them.

Nothing here talks to the database but the loader that is passed in: `projection` loads and stores,
`record_kinds` knows what each kind of record means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from workflows_app import payloads
from workflows_app.gateway import EngineRecord
from workflows_app.models import (
    Task,
    TaskAttempt,
    Workflow,
    WorkflowStatus,
)

ENDED = frozenset({WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED})


class Loader(Protocol):
    """Gets rows of one workflow that the records do not name."""

    def open_tasks(self, workflow: Workflow) -> Iterable[Task]:
        """All tasks that are PENDING or RUNNING."""

    def replaced_tasks(self, workflow: Workflow) -> Iterable[Task]:
        """All tasks that handed over to another one and are not SUCCESSFUL yet."""


@dataclass(slots=True)
class Event:
    """A row of `WorkflowEvent` to be, without what a model costs: there is one for each record."""

    seq: int
    time: datetime
    kind: str
    task_id: str | None
    attempt: int | None
    data: payloads.Encoded
    workflow_id: int = 0


class Draft:
    """The rows of one workflow while records are applied to them."""

    def __init__(self, workflow: Workflow, tasks: Iterable[Task], loader: Loader) -> None:
        self.workflow = workflow
        self.tasks = {task.task_id: task for task in tasks}
        self.changed_tasks: dict[str, Task] = {}
        self.attempts: dict[tuple[str, int], TaskAttempt] = {}
        self.events: list[Event] = []
        self.data: dict[str, Any] = {}  # of the record that was noted last, fit for the database
        self._loader = loader
        self._replaced_loaded = False

    def note(self, record: EngineRecord) -> datetime:
        """Keep a record as an event and move on to its number; return its time."""
        now = moment(record.time)
        self.workflow.event_seq = record.seq
        self.workflow.changed_at = now
        self.data, encoded = payloads.cleaned(record.data)
        self.events.append(
            Event(
                record.seq,
                now,
                payloads.text(record.kind, 40),
                None if record.task_id is None else payloads.text(record.task_id),
                record.attempt,
                payloads.event_data(self.data, encoded),
            )
        )
        return now

    # --- rows -------------------------------------------------------------------------------

    def task(self, record: EngineRecord) -> Task:
        """The task a record is about."""
        task_id = payloads.text(record.task_id)
        found = self.tasks.get(task_id)
        if found is None:
            raise LookupError(f"record {record.seq} is about the unknown task {task_id!r}")
        return found

    def set_status(self, task: Task, status: WorkflowStatus) -> None:
        """Change a task's status and the workflow's counters with it; what it waited for is over."""
        task.waiting_since = task.waiting_until = None
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
    task.duration_ms = milliseconds(task.started_at, task.finished_at)
    task.error = replacement.error if ended else None
    task.preview = replacement.preview if ended else None
    draft.set_status(task, WorkflowStatus(replacement.status) if ended else WorkflowStatus.RUNNING)


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """The time from `start` to `end`, if both are known; never negative."""
    if start is None or end is None:
        return None
    return max(0, round((end - start).total_seconds() * 1000))
