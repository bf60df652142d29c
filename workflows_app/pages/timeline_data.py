"""When every task of a workflow was ready, began, ended and was checkpointed, in few bytes."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, dag
from workflows_app.models import Task, TaskAttempt, Workflow, WorkflowEvent
from workflows_app.pages.graph_data import LARGEST, LETTERS, packed
from workflows_app.pages.rendering import page
from workflows_app.problems import Invalid

# In the arrays: not yet.
NEVER = -1
READ_CHUNK = 10_000
COMMITTED = ("succeeded", "continued")


@require_GET
@page
def timeline_data(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """Milliseconds since the workflow began, one number per started task, in order of their start.

    ``ready``: when its last source had ended. ``begin``, ``end``: of its newest attempt. ``saved``: when its
    checkpoint was durable. ``tries``: earlier attempts as ``task, begin, end, …``.
    """
    workflow = access.workflow_for(request.user, workflow_id)
    if workflow.tasks_total > LARGEST:
        raise Invalid(
            f"The workflow {workflow_id!r} has {workflow.tasks_total} tasks; at most {LARGEST} are drawn"
            " together. The pages of the timeline and the table of tasks show all of them."
        )
    return JsonResponse(bars(workflow))


def bars(workflow: Workflow) -> dict[str, Any]:
    """What the drawing is made of."""
    start = workflow.started_at or workflow.created_at
    whole = dag.read(workflow)
    number = {task_id: at for at, task_id in enumerate(whole.ids)}
    rows = list(
        Task.objects.filter(workflow=workflow, started_at__isnull=False)
        .order_by("started_at", "id")
        .values_list("task_id", "status", "started_at", "finished_at", "attempt")
    )
    rows = [row for row in rows if row[0] in number]
    ended = {number[row[0]]: _since(start, row[3]) for row in rows}
    ready = _ready(whole, ended)
    saved = _saved(workflow, start)
    order = {row[0]: at for at, row in enumerate(rows)}
    begin = array("i", (_since(start, row[2]) for row in rows))
    return {
        "ids": [row[0] for row in rows],
        "titles": whole.titles,
        "names": packed(array("i", (whole.names[number[row[0]]] for row in rows))),
        "statuses": "".join(LETTERS.get(row[1], "p") for row in rows),
        "ready": packed(
            array("i", (min(ready[number[row[0]]], b) for row, b in zip(rows, begin, strict=True)))
        ),
        "begin": packed(begin),
        "end": packed(array("i", (_since(start, row[3]) for row in rows))),
        "saved": packed(array("i", (saved.get(row[0], NEVER) for row in rows))),
        "tries": packed(_tries(workflow, start, order)),
        "now": _since(start, timezone.now()),
        "start": start.timestamp() * 1000,
        "is_over": workflow.finished_at is not None,
        "seq": workflow.event_seq,
    }


def _ready(whole: dag.Dag, ended: Mapping[int, int]) -> list[int]:
    """For each task when the last of its sources had ended."""
    ready = [0] * len(whole.ids)
    for source, target in zip(whole.sources, whole.targets, strict=True):
        ready[target] = max(ready[target], ended.get(source, 0))
    return ready


def _saved(workflow: Workflow, start: datetime) -> dict[str, int]:
    events = WorkflowEvent.objects.filter(workflow=workflow, kind__in=COMMITTED)
    rows = events.order_by().values_list("task_id", "time").iterator(READ_CHUNK)
    return {str(task_id): _since(start, time) for task_id, time in rows}


def _tries(workflow: Workflow, start: datetime, order: Mapping[str, int]) -> array[int]:
    """Attempts that were not the last of their task."""
    found = array("i")
    attempts = TaskAttempt.objects.filter(
        task__workflow=workflow, task__attempt__gt=1, finished_at__isnull=False
    ).exclude(status="SUCCESSFUL")
    rows = attempts.order_by("task_id", "number").values_list(
        "task__task_id", "number", "task__attempt", "started_at", "finished_at"
    )
    for task_id, attempt, newest, begin, end in rows.iterator(READ_CHUNK):
        if attempt < newest and begin is not None and task_id in order:
            found.extend((order[task_id], _since(start, begin), _since(start, end)))
    return found


def _since(start: datetime, moment: datetime | None) -> int:
    if moment is None:
        return NEVER
    return min(2**31 - 1, max(0, round((moment - start).total_seconds() * 1000)))
