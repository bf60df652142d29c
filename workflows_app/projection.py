"""Storing what the journals say: the only writer of the projected tables.

One call of `apply` is one transaction that holds the rows of every record of the batch together
with each workflow's `event_seq` and `position`. A crash before the commit leaves nothing, a crash
after it leaves everything; a record that is delivered again has a sequence number that is not
above `event_seq` and is skipped. So each record counts exactly once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, Q
from django.utils import timezone

from workflows_app import after_commit, bulk_rows, payloads, record_kinds, resolution
from workflows_app.folding import Draft, moment
from workflows_app.gateway import EngineRecord, Entry, RecordPage
from workflows_app.models import (
    FailureGroup,
    FollowerState,
    Rollup,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
    WorkflowStatus,
)
from workflows_app.rollups import Changes, Counted

T = TypeVar("T")
M = TypeVar("M", bound=Model)

# Values in one IN list: below what every SQLite accepts.
IN_LIMIT = 800
LIVE = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)
OPEN_TASK = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)


class StoredTasks:
    """The folding's loader: tasks of one workflow that the records do not name."""

    def open_tasks(self, workflow: Workflow) -> Iterable[Task]:
        return self._tasks(workflow, Q(status__in=OPEN_TASK))

    def replaced_tasks(self, workflow: Workflow) -> Iterable[Task]:
        return self._tasks(workflow, Q(replaced_by__isnull=False))

    def _tasks(self, workflow: Workflow, condition: Q) -> Iterable[Task]:
        # A workflow that is being made has no rows yet; all its tasks are in the draft.
        is_new = workflow._state.adding
        return () if is_new else Task.objects.filter(condition, workflow=workflow)


def apply(pages: Mapping[str, RecordPage]) -> None:
    """Store one page of records for each of several workflows, all or nothing.

    Raises:
        SequenceGap: records are missing; read that workflow from the start and use `replace`.
        Exception: a record does not have the documented form.
    """
    with transaction.atomic():
        _take_turns()
        _store(pages)


def replace(workflow_id: str, page: RecordPage) -> None:
    """Forget what is stored about a workflow and store this page, which starts at record 1."""
    with transaction.atomic():
        _take_turns()
        pending = _forget([workflow_id]).get(workflow_id)
        _store({workflow_id: page})
        Workflow.objects.filter(workflow_id=workflow_id).update(pending_command=pending)


def forget(workflow_ids: Collection[str]) -> None:
    """Remove workflows whose storage is gone."""
    for chunk in in_chunks(workflow_ids, IN_LIMIT):
        with transaction.atomic():
            _take_turns()
            _forget(chunk)
            after_commit.ring(
                {"list": 0, "overview": 0, **{f"workflow:{each}": 0 for each in chunk}}
            )


def forget_everything() -> None:
    """Empty the projected tables; the follower's reconciliation fills them again."""
    with transaction.atomic():
        _take_turns()
        for model in (TaskAttempt, WorkflowEvent, Task, Workflow, Rollup, FailureGroup):
            model.objects.all().delete()


def note_problem(workflow_id: str, detail: str, entry: Entry | None) -> None:
    """Make it visible that a workflow's journal cannot be read or understood.

    The row stands still until the journal can be read again; every other workflow goes on.
    """
    error = {"type": "JournalProblem", "message": payloads.text(detail, 2000)}
    with transaction.atomic():
        _take_turns()
        known = Workflow.objects.filter(workflow_id=workflow_id)
        if not known.exists():
            created = timezone.now() if entry is None else moment(entry.created_at)
            workflow = Workflow.objects.create(
                workflow_id=workflow_id,
                status=WorkflowStatus.RESUMABLE if entry is None else entry.status,
                definition=None if entry is None else entry.definition,
                created_at=created,
                changed_at=created,
            )
            counts = Changes()
            counts.came(Counted.of(workflow))
            counts.save()
        known.exclude(journal_problem=error["message"]).update(
            journal_problem=error["message"], error=error
        )
        after_commit.ring({"list": 0, f"workflow:{workflow_id}": 0})


def overlay_status(workflow_id: str, *, entry: Entry, seen: str) -> None:
    """Show the index's status where it says more than the journal: its owner is gone, or back.

    Args:
        seen: the stored status this decision rests on; if it has changed since, nothing happens.
    """
    with transaction.atomic():
        _take_turns()
        workflow = Workflow.objects.filter(workflow_id=workflow_id, status=seen).first()
        if workflow is not None:
            counts = Changes()
            counts.left(Counted.of(workflow))
            workflow.status = entry.status
            if entry.status == WorkflowStatus.RUNNING and workflow.pending_command == "resume":
                workflow.pending_command = None
            workflow.save(update_fields=["status", "pending_command"])
            counts.came(Counted.of(workflow))
            counts.save()
            after_commit.ring({"list": 0, "overview": 0, f"workflow:{workflow_id}": 0})


def note_follower(**fields: Any) -> None:
    """Update the row that tells how fresh the registry is."""
    FollowerState.objects.update_or_create(id=1, defaults=fields)


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut `items` into lists of at most `size`."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


# --- one transaction ----------------------------------------------------------------------------


def _take_turns() -> None:
    """Let two followers that run by mistake take turns instead of working on the same rows."""
    FollowerState.objects.get_or_create(id=1)
    FollowerState.objects.select_for_update().get(id=1)


def _store(pages: Mapping[str, RecordPage]) -> None:
    drafts, counts = _load(pages), Changes()
    for workflow_id, draft in drafts.items():
        page = pages[workflow_id]
        if not draft.workflow._state.adding:
            counts.left(Counted.of(draft.workflow))
        record_kinds.apply(draft, page.records)
        draft.workflow.position = page.position
        draft.workflow.journal_problem = ""
        counts.came(Counted.of(draft.workflow))
    _save(drafts)
    counts.save()
    resolution.refresh(resolution.concerned([draft.workflow for draft in drafts.values()]))
    after_commit.ring(_bells(drafts))


def _load(pages: Mapping[str, RecordPage]) -> dict[str, Draft]:
    loader = StoredTasks()
    known = {
        workflow.workflow_id: workflow
        for chunk in in_chunks(pages, IN_LIMIT)
        for workflow in Workflow.objects.select_for_update().filter(workflow_id__in=chunk)
    }
    tasks = _named_tasks(known, pages)
    drafts: dict[str, Draft] = {}
    for workflow_id, page in pages.items():
        workflow = known.get(workflow_id)
        if workflow is None:
            if not page.records:
                continue  # Nothing is known and nothing has come: it is not there.
            created = moment(page.records[0].time)
            workflow = Workflow(workflow_id=workflow_id, created_at=created, changed_at=created)
        drafts[workflow_id] = Draft(workflow, tasks.get(workflow.pk, ()), loader)
    return drafts


def _named_tasks(
    known: Mapping[str, Workflow], pages: Mapping[str, RecordPage]
) -> dict[int, list[Task]]:
    """The stored tasks that the records name, by the workflow's key, in few statements."""
    found: dict[int, list[Task]] = {}
    wanted: list[tuple[int, str]] = [
        (workflow.pk, task_id)
        for workflow_id, workflow in known.items()
        for task_id in _task_ids(pages[workflow_id].records, after=workflow.event_seq)
    ]
    for chunk in in_chunks(wanted, IN_LIMIT // 2):
        # Ids such as "main" occur in many workflows, so the product may hold a few rows too
        # many. They are harmless: a draft never stores a task that no record has touched.
        rows = Task.objects.filter(
            workflow_id__in={key for key, _ in chunk}, task_id__in={each for _, each in chunk}
        )
        for task in rows:
            found.setdefault(task.workflow_id, []).append(task)
    return found


def _task_ids(records: Sequence[EngineRecord], *, after: int) -> list[str]:
    named: dict[str, None] = {}
    for record in records:
        if record.seq <= after:
            continue
        if record.task_id is not None:
            named[payloads.text(record.task_id)] = None
        if record.kind == "continued":
            named[payloads.text(record.data.get("root"))] = None
        elif record.kind == "resumed":
            named.update((payloads.text(each), None) for each in record.data.get("reset") or ())
    return list(named)


def _save(drafts: Mapping[str, Draft]) -> None:
    workflows = [draft.workflow for draft in drafts.values()]
    tasks = [task for draft in drafts.values() for task in draft.changed_tasks.values()]
    attempts = [attempt for draft in drafts.values() for attempt in draft.attempts.values()]
    bulk_rows.number(Workflow, workflows)
    bulk_rows.upsert(Workflow, workflows, keys=["workflow_id"])
    for draft in drafts.values():
        draft.workflow._state.adding = False
        for task in draft.changed_tasks.values():
            task.workflow_id = draft.workflow.pk
        for event in draft.events:
            event.workflow_id = draft.workflow.pk
    bulk_rows.number(Task, tasks)
    bulk_rows.upsert(Task, tasks, keys=["workflow", "task_id"])
    for attempt in attempts:
        attempt.task_id = attempt.task.pk
    bulk_rows.number(TaskAttempt, attempts)
    bulk_rows.upsert(TaskAttempt, attempts, keys=["task", "number"])
    bulk_rows.insert(WorkflowEvent, (e for draft in drafts.values() for e in draft.events))


def _bells(drafts: Mapping[str, Draft]) -> dict[str, int]:
    changed = {key: draft.workflow.event_seq for key, draft in drafts.items() if draft.events}
    if not changed:
        return {}
    return {"list": 0, "overview": 0, **{f"workflow:{key}": seq for key, seq in changed.items()}}


def _forget(workflow_ids: Collection[str]) -> dict[str, str | None]:
    """Delete rows from the leaves up, in as many statements as there are tables."""
    workflows = Workflow.objects.filter(workflow_id__in=workflow_ids)
    pending = dict(workflows.values_list("workflow_id", "pending_command"))
    TaskAttempt.objects.filter(task__workflow__in=workflows).delete()
    WorkflowEvent.objects.filter(workflow__in=workflows).delete()
    Task.objects.filter(workflow__in=workflows).delete()
    forks = workflows.exclude(forked_from=None).values_list("forked_from", flat=True)
    origins = {str(origin) for origin in forks}
    counts = Changes()
    counts.left_all(workflows)
    workflows.delete()
    counts.save()
    resolution.refresh(origins - set(workflow_ids))
    return pending
