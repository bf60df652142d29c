"""``/cluster/``: whether engine and follower are well, and where tasks ran, all from the registry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, Max, Q
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, queries
from workflows_app.models import Command, CommandState, FollowerState, Task
from workflows_app.pages.rendering import page, show, topic

MOST_NODES = 50
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
    context = {
        "follower": queries.follower(),
        "state": FollowerState.objects.filter(id=1).first(),
        "open_commands": Command.objects.filter(state__in=open_states).count(),
        "oldest_command": Command.objects.filter(state__in=open_states)
        .order_by("created_at")
        .first(),
        "commands": Command.objects.select_related("created_by")[:RECENT_COMMANDS],
        "nodes": _nodes(),
        "now": timezone.now(),
    }
    return show(request, "pages/cluster.html", context, live=[topic("overview")])


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
