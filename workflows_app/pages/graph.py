"""``/workflows/{id}/graph/``: the DAG summed up by task name, as SVG and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, queries
from workflows_app.models import Task, Workflow
from workflows_app.pages import graph_layout
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.rendering import page, show

# More names than this cannot be read as a drawing; the table beside it shows all of them.
MOST_NAMES = 120
SHRINKS_UP_TO = 1_400
READ_CHUNK = 5_000
KEEP_SECONDS = 600


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
    """The summary graph. Which names feed which is read once per shape of the workflow."""
    workflow = access.workflow_for(request.user, workflow_id)
    groups = {group["name"]: group for group in queries.task_groups(workflow)}
    names = list(groups)[:MOST_NAMES]
    edges = _edges(workflow)
    layout = graph_layout.lay_out(names, edges)
    context = {
        **shared(request, workflow, tab="workflow-graph"),
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
    }
    return show(request, "pages/graph.html", context, live=topics(workflow, tasks=True))


def _edges(workflow: Workflow) -> Counter[graph_layout.Edge]:
    """Edges between names with the number of edges between their tasks."""
    # Edges appear only together with tasks, so the number of tasks tells one shape from the next.
    key = f"rayflow:pages:edges:{workflow.pk}:{workflow.tasks_total}"
    kept: Counter[graph_layout.Edge] | None = cache.get(key)
    if kept is not None:
        return kept
    tasks = Task.objects.filter(workflow=workflow).order_by("id")
    name_of: dict[str, str] = {}
    edges: Counter[graph_layout.Edge] = Counter()
    late: list[tuple[str, str]] = []
    rows = tasks.values_list("task_id", "name", "upstream", "parent_task_id")
    for task_id, name, upstream, parent in rows.iterator(READ_CHUNK):
        name_of[task_id] = name
        for source in [*upstream, *([parent] if parent and not upstream else [])]:
            if source in name_of:
                edges[name_of[source], name] += 1
            else:
                late.append((source, name))
    edges.update((name_of[source], name) for source, name in late if source in name_of)
    cache.set(key, edges, KEEP_SECONDS)
    return edges


def _by_source(edges: Counter[graph_layout.Edge]) -> dict[str, list[str]]:
    feeds: dict[str, list[str]] = {}
    for source, target in edges:
        feeds.setdefault(source, []).append(target)
    return feeds


def _shorten(name: str, most: int = 23) -> str:
    """The end of a dotted name says more than its beginning."""
    return name if len(name) <= most else f"…{name[-(most - 1) :]}"
