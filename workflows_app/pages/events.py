"""``/workflows/{id}/events/``: the journal's records, newest or oldest first."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, keyset
from workflows_app.models import WorkflowEvent
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.rendering import page, show

SIZE = 100
KINDS = {
    "accepted": ("check", "st-running", "Accepted"),
    "task": ("definitions", "st-pending", "Task added"),
    "status": ("info", "st-running", "Status"),
    "started": ("launch", "st-running", "Attempt started"),
    "succeeded": ("successful", "st-successful", "Task succeeded"),
    "failed": ("failed", "st-failed", "Attempt failed"),
    "continued": ("right", "st-running", "Continued"),
    "cancel_requested": ("stop", "st-canceled", "Cancel requested"),
    "task_canceled": ("stop", "st-canceled", "Task canceled"),
    "resumed": ("rotate", "st-resumable", "Resumed"),
    "waiting": ("clock", "st-pending", "Waits"),
    "signaled": ("info", "st-running", "Message came"),
    "progress": ("check", "st-running", "Progress saved"),
    "suspend_requested": ("stop", "st-resumable", "Suspend requested"),
    "timed_out": ("clock", "st-failed", "Out of time"),
    "heartbeat": ("info", "st-pending", "Last heartbeat"),
    "sealed": ("key", "st-pending", "Ownership moved"),
}


@require_GET
@page
def event_list(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The event history, filtered by kind, 100 records at a time."""
    workflow = access.workflow_for(request.user, workflow_id)
    access.require(request.user, "view_events")
    kind = request.GET.get("kind", "")
    oldest_first = request.GET.get("sort") == "oldest"
    events = WorkflowEvent.objects.filter(workflow=workflow)
    if kind:
        events = events.filter(kind=kind)
    order = keyset.Sort("seq", descending=not oldest_first)
    found = keyset.paged(
        events, order, cursor=request.GET.get("cursor", ""), size=SIZE, scope=request.path
    )
    context = {
        **shared(request, workflow, tab="workflow-events"),
        "found": found,
        "events": found.rows,
        "kinds": KINDS,
        "kind": kind,
        "sort": "oldest" if oldest_first else "newest",
    }
    return show(request, "pages/events.html", context, live=topics(workflow))
