"""``…/tasks/{task_id}/logs/``: what a task has printed, from its end back, followed while it runs, searched."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, log_reading
from workflows_app.gateway import EngineProblem
from workflows_app.models import Task
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.rendering import number_of, page, show
from workflows_app.problems import NotFound

PART_BYTES = 128 * 1024
ATTEMPTS = 100
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LOUD = {"WARNING": "st-resumable", "ERROR": "st-failed", "CRITICAL": "st-failed"}


@require_GET
@page
def task_log(request: HttpRequest, workflow_id: str, task_id: str) -> HttpResponseBase:
    """A part of a log; its address names the part, so it can be shared and opened again."""
    access.require(request.user, "view_logs")
    workflow = access.workflow_for(request.user, workflow_id)
    task = (
        Task.objects.select_related("workflow").filter(workflow=workflow, task_id=task_id).first()
    )
    if task is None:
        raise NotFound(f"The workflow {workflow_id!r} has no task {task_id!r}.")
    numbers = list(task.attempts.order_by("-number").values_list("number", flat=True)[:ATTEMPTS])
    number = number_of(request.GET.get("attempt", ""))
    number = number if number is not None else next(iter(numbers), None)
    query = _query(request)
    found: dict[str, Any] = {}
    problem = None
    if number is not None:
        try:
            found = log_reading.read(task, number, query)
        except EngineProblem as error:
            problem = error
    is_end = not (query.keys() - {"limit_bytes"})
    context = {
        **shared(request, workflow, tab="workflow-tasks"),
        "task": task,
        "number": number,
        "numbers": numbers,
        "found": found,
        "lines": [line_of(item) for item in found.get("items", ())],
        "problem": problem,
        "levels": log_reading.LEVELS,
        "streams": (("out", "Output"), ("err", "Errors"), ("log", "Logging")),
        "wanted": {name: query.get(name, "") for name in ("grep", "level", "stream")},
        "is_search": bool(query.keys() & {"grep", "level", "stream"}),
        "is_followed": is_end and bool(found.get("running")),
        "is_end": is_end,
        "here": _here(request),
    }
    return show(request, "pages/log.html", context, live=topics(workflow))


def _query(request: HttpRequest) -> dict[str, Any]:
    """What of the address says which part; what makes no sense is left out."""
    query: dict[str, Any] = {"limit_bytes": PART_BYTES}
    for name in ("offset", "before"):
        place = number_of(request.GET.get(name, ""))
        if place is not None and "offset" not in query:
            query[name] = place
    if text := request.GET.get("grep", "")[:200]:
        query["grep"] = text
    for name, known in (("level", log_reading.LEVELS), ("stream", log_reading.STREAMS)):
        if request.GET.get(name) in known:
            query[name] = request.GET[name]
    if "before" in query and query.keys() & {"grep", "level", "stream"}:
        del query["before"]
    return query


def _here(request: HttpRequest) -> str:
    """The address without its place: for links to other parts of the same search."""
    kept = {n: v for n, v in request.GET.items() if n in ("attempt", "grep", "level", "stream")}
    return urlencode(kept)


def line_of(item: dict[str, Any]) -> dict[str, Any]:
    """A line of a log, ready to be shown."""
    return {
        **item,
        "clock": item["time"][11:23],
        "text": COLOURS.sub("", item["text"]),
        "css": LOUD.get(item["level"] or "", ""),
    }
