"""``/cluster/``: whether every part is well, how full the machines are, and where tasks ran; all from the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, Max, Q
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, cluster_samples, queries
from workflows_app.models import Command, CommandState, FollowerState, Task
from workflows_app.pages.rendering import page, show, topic

MOST_NODES = 50
TABLE_ROWS = 30
RECENT_COMMANDS = 12
# No page may scan all tasks ever run: nodes are those that finished something lately.
LOOK_BACK = timedelta(hours=24)
NEWEST_TASKS = 20_000


@require_GET
@page
def cluster(request: HttpRequest) -> HttpResponseBase:
    """Engine, follower, commands under way, and the nodes seen in the newest tasks."""
    access.require(request.user, "view_cluster")
    open_states = [CommandState.QUEUED, CommandState.RUNNING]
    sample, history = cluster_samples.latest(), cluster_samples.history()
    context = {
        "follower": queries.follower(),
        "state": FollowerState.objects.filter(id=1).first(),
        "open_commands": Command.objects.filter(state__in=open_states).count(),
        "oldest_command": Command.objects.filter(state__in=open_states)
        .order_by("created_at")
        .first(),
        "commands": Command.objects.select_related("created_by")[:RECENT_COMMANDS],
        "ran_on": _nodes(),
        "sample": sample,
        "resources": cluster_samples.resources(sample),
        "history": history,
        "history_rows": _rows(history),
        "now": timezone.now(),
    }
    return show(request, "pages/cluster.html", context, live=[topic("overview")])


def _rows(history: dict[str, Any]) -> list[dict[str, Any]]:
    """The chart as a table: one row for every few minutes, the newest first."""
    step = max(1, len(history["times"]) // TABLE_ROWS)
    return [
        {
            "time": datetime.fromtimestamp(history["times"][at], UTC),
            "values": [each["values"][at] for each in history["series"]],
        }
        for at in range(len(history["times"]) - 1, -1, -step)
    ]


def _nodes() -> list[Any]:
    newest = Task.objects.order_by("-id").values("pk")[:NEWEST_TASKS]
    return list(
        Task.objects.filter(pk__in=newest, finished_at__gte=timezone.now() - LOOK_BACK)
        .exclude(node="")
        .values("node")
        .annotate(
            finished=Count("id"),
            failed=Count("id", filter=Q(status="FAILED")),
            workers=Count("pid", distinct=True),
            mean_ms=Avg("duration_ms"),
            last=Max("finished_at"),
        )
        .order_by("-last")[:MOST_NODES]
    )
