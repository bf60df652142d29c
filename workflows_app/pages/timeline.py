"""``/workflows/{id}/timeline/``: when each task ran, as bars in order of start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, keyset
from workflows_app.models import Task, Workflow
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.graph_data import LARGEST
from workflows_app.pages.rendering import page, show

SIZE = 200
TICKS = 5
LEAST_SPAN = timedelta(milliseconds=50)
LEAST_WIDTH = 0.3  # percent: a bar that can still be seen


@dataclass(frozen=True, slots=True)
class Bar:
    """One task's newest attempt: where its bar begins and how wide it is, in percent."""

    task: Task
    x: str
    width: str
    label_x: str
    is_label_left: bool
    length_ms: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the time axis."""

    x: str
    after_ms: float
    anchor: str


@require_GET
@page
def timeline(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The bars, 200 at a time; all pages share one time axis."""
    workflow = access.workflow_for(request.user, workflow_id)
    started = Task.objects.filter(workflow=workflow, started_at__isnull=False).only(
        "task_id", "name", "status", "attempt", "started_at", "finished_at", "duration_ms"
    )
    order = keyset.Sort("started_at")
    found = keyset.paged(
        started, order, cursor=request.GET.get("cursor", ""), size=SIZE, scope=request.path
    )
    begin, end = _span(workflow, found.rows)
    context = {
        **shared(request, workflow, tab="workflow-timeline"),
        "found": found,
        "bars": [_bar(task, begin, end) for task in found.rows],
        "ticks": _ticks(begin, end),
        "can_draw_all": workflow.tasks_total <= LARGEST,
        "begin": begin,
        "end": end,
    }
    return show(request, "pages/timeline.html", context, live=topics(workflow, tasks=True))


def _span(workflow: Workflow, tasks: Sequence[Task]) -> tuple[datetime, datetime]:
    now = timezone.now()
    starts = [task.started_at for task in tasks if task.started_at]
    ends = [task.finished_at for task in tasks if task.finished_at]
    begin = min([workflow.started_at or workflow.created_at, *starts])
    running = any(task.started_at and not task.finished_at for task in tasks)
    end = now if running or not workflow.finished_at else workflow.finished_at
    end = max([end, *ends])
    return begin, max(end, begin + LEAST_SPAN)


def _bar(task: Task, begin: datetime, end: datetime) -> Bar:
    assert task.started_at is not None
    span = (end - begin).total_seconds()
    until = task.finished_at or end
    length = max(0.0, (until - task.started_at).total_seconds())
    x = max(0.0, 100 * (task.started_at - begin).total_seconds() / span)
    width = max(LEAST_WIDTH, 100 * length / span)
    x = min(x, 100 - LEAST_WIDTH)
    width = min(width, 100 - x)
    is_left = x + width > 88
    return Bar(
        task=task,
        x=f"{x:.3f}",
        width=f"{width:.3f}",
        label_x=f"{x if is_left else x + width:.3f}",
        is_label_left=is_left,
        length_ms=length * 1000,
    )


def _ticks(begin: datetime, end: datetime) -> list[Tick]:
    span_ms = (end - begin).total_seconds() * 1000
    anchors = ["start", *["middle"] * (TICKS - 2), "end"]
    return [
        Tick(x=f"{100 * n / (TICKS - 1):g}", after_ms=span_ms * n / (TICKS - 1), anchor=anchor)
        for n, anchor in enumerate(anchors)
    ]
