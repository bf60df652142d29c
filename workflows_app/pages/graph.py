"""``/workflows/{id}/graph/``: the DAG by task name, around one task, or whole; each also as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, F, When
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, dag, queries
from workflows_app.models import Task, Workflow
from workflows_app.pages import graph_data, graph_layout
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.rendering import page, show
from workflows_app.problems import NotFound

# More names than this cannot be read as a drawing; the table beside it shows all of them.
MOST_NAMES = 120
SHRINKS_UP_TO = 1_400
MOST_MEMBERS = 50
MOST_AROUND = 150
STEPS = ("1", "2", "3", "5")
BRIEF = ("task_id", "name", "status", "attempt", "duration_ms", "started_at", "finished_at")


@dataclass(frozen=True, slots=True)
class Node:
    """One drawn name: its box and the counts of its tasks."""

    box: graph_layout.Box
    group: dict[str, Any]
    short: str
    is_live: bool


@require_GET
@page
def graph(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The summary; with ``?view=all`` every task, with ``?task=`` those around one."""
    workflow = access.workflow_for(request.user, workflow_id)
    context = {**shared(request, workflow, tab="workflow-graph"), "view": "summary"}
    live = topics(workflow, tasks=True)
    if task_id := request.GET.get("task", ""):
        context |= {"view": "around", **_around(request, workflow, task_id)}
        return show(request, "pages/graph_around.html", context, live=live)
    if request.GET.get("view") == "all":
        context |= {"view": "all", "is_too_large": workflow.tasks_total > graph_data.LARGEST}
        # The drawing follows by itself; only what stands around it is rendered anew.
        return show(request, "pages/graph_all.html", context, live=topics(workflow))
    return show(request, "pages/graph.html", context | _summary(request, workflow), live=live)


def _summary(request: HttpRequest, workflow: Workflow) -> dict[str, Any]:
    """One node per task name. Which names feed which is read once per shape of the workflow."""
    groups = {group["name"]: group for group in queries.task_groups(workflow)}
    names = list(groups)[:MOST_NAMES]
    edges = dag.read(workflow).between_names(with_calls=True)
    layout = graph_layout.lay_out(names, edges)
    opened = request.GET.get("open", "")
    return {
        "drawing": layout,
        # Up to here a drawing may shrink to the width of the page and still be read.
        "is_small": layout.width <= SHRINKS_UP_TO,
        "nodes": [
            Node(box, groups[box.name], _shorten(box.name), bool(groups[box.name]["running"]))
            for box in layout.boxes
        ],
        "groups": list(groups.values())[: 2 * MOST_NAMES],
        "hidden": max(0, len(groups) - len(names)),
        "feeds": _by_source(edges),
        "box_width": graph_layout.WIDTH,
        "box_height": graph_layout.HEIGHT,
        "opened": groups.get(opened),
        "members": _members(workflow, opened) if opened in groups else [],
    }


def _members(workflow: Workflow, name: str) -> list[Task]:
    """Some tasks of one name: what failed first, then what runs, then the slowest."""
    urgency = Case(When(status="FAILED", then=0), When(status="RUNNING", then=1), default=2)
    tasks = Task.objects.filter(workflow=workflow, name=name).only(*BRIEF)
    return list(
        tasks.order_by(urgency, F("duration_ms").desc(nulls_last=True), "id")[:MOST_MEMBERS]
    )


def _around(request: HttpRequest, workflow: Workflow, task_id: str) -> dict[str, Any]:
    """The tasks up to some steps before and after one, each as a node."""
    steps = request.GET.get("steps", "")
    depth = int(steps) if steps in STEPS else 2
    whole = dag.read(workflow)
    if task_id not in whole.ids:
        raise NotFound(
            f"The workflow {workflow.workflow_id!r} has no task {task_id!r}."
            " Its tasks are listed on the tab “Tasks”."
        )
    near = whole.around(task_id, steps=depth, most=MOST_AROUND + 1)
    shown = set(near[:MOST_AROUND])
    edges = Counter(
        (whole.ids[a], whole.ids[b]) for a, b in whole.edges() if a in shown and b in shown
    )
    ids = [whole.ids[at] for at in sorted(shown)]
    rows = Task.objects.filter(workflow=workflow, task_id__in=ids).only(*BRIEF)
    tasks = {task.task_id: task for task in rows}
    layout = graph_layout.lay_out([each for each in ids if each in tasks], edges)
    return {
        "centre": tasks[task_id],
        "steps": depth,
        "all_steps": STEPS,
        "is_cut": len(near) > MOST_AROUND,
        "drawing": layout,
        "is_small": layout.width <= SHRINKS_UP_TO,
        "nodes": [(box, tasks[box.name], _shorten(box.name)) for box in layout.boxes],
        "feeds": _by_source(edges),
        "box_width": graph_layout.WIDTH,
        "box_height": graph_layout.HEIGHT,
    }


def _by_source(edges: Counter[dag.Edge]) -> dict[str, list[str]]:
    feeds: dict[str, list[str]] = {}
    for source, target in edges:
        feeds.setdefault(source, []).append(target)
    return feeds


def _shorten(name: str, most: int = 23) -> str:
    """The end of a dotted name says more than its beginning."""
    return name if len(name) <= most else f"…{name[-(most - 1) :]}"
