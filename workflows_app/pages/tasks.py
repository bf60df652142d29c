"""``/workflows/{id}/tasks/`` and ``…/tasks/{task_id}/``: the tasks of a workflow, and one of them."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, keyset, queries
from workflows_app.models import Task, Workflow, WorkflowStatus
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.rendering import page, show, topic
from workflows_app.problems import NotFound

SIZE = 100
MOST_INPUTS = 5  # whose values are shown
MOST_NEIGHBOURS = 50
MOST_NAMES = 200
TASK_STATUSES = [value for value in WorkflowStatus.values if value != "RESUMABLE"]


@require_GET
@page
def task_list(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The task table, filtered by status and name."""
    workflow = access.workflow_for(request.user, workflow_id)
    status = request.GET.get("status", "")
    name = request.GET.get("name", "")
    tasks = Task.objects.filter(workflow=workflow)
    if status in TASK_STATUSES:
        tasks = tasks.filter(status=status)
    if name:
        tasks = tasks.filter(name=name)
    tasks = tasks.defer("preview", "options", "metadata", "upstream")
    found = keyset.paged(
        tasks,
        keyset.Sort("id"),
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    context = {
        **shared(request, workflow, tab="workflow-tasks"),
        "found": found,
        "tasks": found.rows,
        "names": queries.distinct_values(Task, "name", limit=MOST_NAMES, workflow_id=workflow.pk),
        "statuses": TASK_STATUSES,
        "status": status,
        "name": name,
    }
    return show(request, "pages/tasks.html", context, live=topics(workflow, tasks=True))


@require_GET
@page
def task_detail(request: HttpRequest, workflow_id: str, task_id: str) -> HttpResponseBase:
    """One task: its attempts, error, value preview and neighbours."""
    workflow = access.workflow_for(request.user, workflow_id)
    task = Task.objects.filter(workflow=workflow, task_id=task_id).first()
    if task is None:
        raise NotFound(
            f"The workflow {workflow_id!r} has no task {task_id!r}."
            " Its tasks are listed on the tab “Tasks”."
        )
    context = {
        **shared(request, workflow, tab="workflow-tasks"),
        "task": task,
        "attempts": list(task.attempts.order_by("-number")[:100]),
        **_neighbours(workflow, task),
    }
    wanted = [*topics(workflow), topic(f"tasks:{workflow_id}", after=workflow.event_seq)]
    return show(request, "pages/task.html", context, live=wanted)


def _neighbours(workflow: Workflow, task: Task) -> dict[str, Any]:
    """Tasks right before and after this one, each side bounded, with the number left out."""
    brief = Task.objects.filter(workflow=workflow).only("task_id", "name", "status")
    wanted = list(task.upstream or [])
    upstream = list(brief.filter(task_id__in=wanted[:MOST_NEIGHBOURS]).order_by("id"))
    downstream = _downstream(workflow, task.task_id)
    return {
        "upstream": upstream,
        "inputs": list(
            Task.objects.filter(workflow=workflow, task_id__in=wanted[:MOST_INPUTS])
            .only("task_id", "preview")
            .order_by("id")
        ),
        "upstream_hidden": max(0, len(wanted) - MOST_NEIGHBOURS),
        "downstream": downstream[:MOST_NEIGHBOURS],
        "downstream_more": len(downstream) > MOST_NEIGHBOURS,
    }


def _downstream(workflow: Workflow, task_id: str) -> list[Task]:
    """Tasks that take a value from this one, one more than is shown.

    The list of ids is searched as text, because SQLite cannot look into JSON lists; a hit by
    accident (an id inside a longer one's escapes) is sorted out here.
    """
    needles = {json.dumps(task_id), json.dumps(task_id, ensure_ascii=False)}
    condition = Q()
    for needle in sorted(needles):
        condition |= Q(upstream_text__contains=needle)
    found = (
        Task.objects.filter(workflow=workflow)
        .annotate(upstream_text=Cast("upstream", TextField()))
        .filter(condition)
        .only("task_id", "name", "status", "upstream")
        .order_by("id")[: MOST_NEIGHBOURS + 1]
    )
    return [task for task in found if task_id in task.upstream]
