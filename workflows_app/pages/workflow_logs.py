"""``/workflows/{id}/logs/``: the ends of the logs of all tasks that printed lately, merged by time."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, log_reading
from workflows_app.gateway import EngineProblem
from workflows_app.models import TaskAttempt, Workflow
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.logs import line_of
from workflows_app.pages.rendering import page, show

# The newest attempts, and how much of the end of each log.
MOST_ATTEMPTS = 40
TAIL_BYTES = 16 * 1024
MOST_LINES = 1_000


@require_GET
@page
def workflow_log(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The merged log, narrowed by task name, level and text."""
    access.require(request.user, "view_logs")
    workflow = access.workflow_for(request.user, workflow_id)
    query = _query(request)
    attempts = _newest(workflow, request.GET.get("name", "")[:500])
    lines: list[dict[str, Any]] = []
    problem = None
    for attempt in attempts:
        try:
            found = log_reading.read_attempt(attempt, query)
        except EngineProblem as error:
            problem = error
            break
        lines += [{**line_of(item), "attempt": attempt} for item in found["items"]]
    lines.sort(key=lambda line: line["time"])
    context = {
        **shared(request, workflow, tab="workflow-logs"),
        "lines": lines[-MOST_LINES:],
        "attempts": len(attempts),
        "is_all": len(attempts) < MOST_ATTEMPTS,
        "problem": problem,
        "levels": log_reading.LEVELS,
        "wanted": {name: request.GET.get(name, "") for name in ("name", "grep", "level")},
        "is_search": any(request.GET.get(name) for name in ("name", "grep", "level")),
        "is_followed": workflow.status in ("PENDING", "RUNNING"),
    }
    return show(request, "pages/workflow_log.html", context, live=topics(workflow, tasks=True))


def _query(request: HttpRequest) -> dict[str, Any]:
    query: dict[str, Any] = {"limit_bytes": TAIL_BYTES}
    if text := request.GET.get("grep", "")[:200]:
        query["grep"] = text
    if request.GET.get("level") in log_reading.LEVELS:
        query["level"] = request.GET["level"]
    return query


def _newest(workflow: Workflow, name: str) -> list[TaskAttempt]:
    """The attempts that began last; only their logs are read, however many tasks there are."""
    tasks = workflow.tasks.filter(started_at__isnull=False)
    if name:
        tasks = tasks.filter(name=name)
    newest = list(tasks.order_by("-started_at", "-id").values_list("pk", flat=True)[:MOST_ATTEMPTS])
    attempts = TaskAttempt.objects.filter(task__in=newest).select_related("task__workflow")
    return list(attempts.order_by("-started_at", "-id")[:MOST_ATTEMPTS])
