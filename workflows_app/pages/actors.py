"""``/actors/``: the virtual actors, each with a link to the workflow of its calls."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from workflows_app import access, keyset, queries
from workflows_app.pages.rendering import page, show, topic

SIZE = 50
ORDER = keyset.Sort("changed_at", descending=True)
SHOWN = (
    "workflow_id",
    "actor",
    "status",
    "created_at",
    "changed_at",
    "tasks_total",
    "tasks_pending",
    "tasks_running",
    "tasks_successful",
    "tasks_failed",
    "tasks_canceled",
)


@require_GET
@page
def actor_list(request: HttpRequest) -> HttpResponseBase:
    """The list, the one that was called last first."""
    q = request.GET.get("q", "").strip()[:500]
    matching = queries.actors(access.workflows_for(request.user), q=q)
    found = keyset.paged(
        matching.only(*SHOWN),
        ORDER,
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    counted, is_exact = queries.capped_count(matching)
    context = {"q": q, "found": found, "counted": counted, "is_exact": is_exact}
    live = [topic("list", params={"ids": [row.workflow_id for row in found.rows]})]
    return show(request, "pages/actors.html", context, live=live)
