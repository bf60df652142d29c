"""``/``: what runs, what needs a hand, the last day, and whether the numbers are fresh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, approvals, cluster_samples, failure_groups, queries
from workflows_app.models import ClusterSample, Definition, Workflow, WorkflowStatus
from workflows_app.pages.rendering import page, show, topic
from workflows_app.pages.workflows import permissions, slim

RECENT = 8
FEW = 4
HOURS = 24
# Bottom to top, as the bars are stacked.
STACK = ("SUCCESSFUL", "RUNNING", "PENDING", "CANCELED", "RESUMABLE", "FAILED")
NEEDS_HELP = (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE)
TALLEST = 100.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A coloured piece of an hour's bar, in percent of the chart."""

    status: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Hour:
    """One bar of the chart and what a reader is told about it."""

    begin: datetime
    x: str
    width: str
    total: int
    label: str
    segments: tuple[Segment, ...]


@require_GET
@page
def overview(request: HttpRequest) -> HttpResponseBase:
    """The first page. Without any workflow it explains how to get one."""
    numbers = queries.overview()
    recent, failing = _newest(access.workflows_for(request.user))
    hours = chart(numbers["last_day"], now=timezone.now())
    context = {
        "counts": numbers["counts"],
        "total": numbers["total"],
        "follower": numbers["follower"],
        "busiest": numbers["definitions"],
        "recent": recent,
        "failing": failing,
        "approvals": list(approvals.open_approvals(request.user).order_by("waiting_since")[:FEW]),
        "alike": list(failure_groups.groups("open").order_by("-workflows", "pk")[:FEW]),
        "resources": cluster_samples.resources(_sample(request))[:4],
        "hours": hours,
        "launched": sum(hour.total for hour in hours),
        "tallest": max((hour.total for hour in hours), default=0),
        # Read by the page of an empty installation only.
        "examples": Definition.objects.filter(available=True)[:3],
        "may": permissions(request),
    }
    return show(request, "pages/overview.html", context, live=[topic("overview")])


def _newest(visible: QuerySet[Workflow]) -> tuple[list[Workflow], list[Workflow]]:
    """The newest workflows and the newest of those that need help.

    Two statements: for rows that are in one list or in the other a database reads the whole table.
    """
    newest = slim(visible).order_by("-created_at", "-id")
    return list(newest[:RECENT]), list(newest.filter(status__in=NEEDS_HELP)[:RECENT])


def _sample(request: HttpRequest) -> ClusterSample | None:
    return cluster_samples.latest() if access.can(request.user, "view_cluster") else None


def chart(rows: Iterable[Mapping[str, Any]], *, now: datetime) -> list[Hour]:
    """Workflows created per hour of the last day, stacked by their present status."""
    last = now.replace(minute=0, second=0, microsecond=0)
    counts: dict[datetime, dict[str, int]] = {
        last - timedelta(hours=back): {} for back in range(HOURS - 1, -1, -1)
    }
    for row in rows:
        hour = datetime.fromisoformat(row["hour"])
        if hour in counts:
            counts[hour][row["status"]] = row["n"]
    highest = max((sum(by_status.values()) for by_status in counts.values()), default=0)
    return [
        _hour(number, begin, by_status, highest)
        for number, (begin, by_status) in enumerate(counts.items())
    ]


def _hour(number: int, begin: datetime, by_status: Mapping[str, int], highest: int) -> Hour:
    slot = TALLEST / HOURS
    segments, top = [], TALLEST
    for status in STACK:
        if by_status.get(status):
            height = TALLEST * by_status[status] / highest
            top -= height
            segments.append(Segment(status, f"{top:.2f}", f"{height:.2f}"))
    total = sum(by_status.values())
    parts = ", ".join(f"{n} {status.lower()}" for status, n in sorted(by_status.items()))
    return Hour(
        begin=begin,
        x=f"{number * slot + slot * 0.14:.3f}",
        width=f"{slot * 0.72:.3f}",
        total=total,
        label=f"{begin:%H:%M} UTC: {total} workflows{f' ({parts})' if parts else ''}",
        segments=tuple(segments),
    )
