"""``/bulk/``: one verb for many workflows: the question, the request, and its progress."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from workflows_app import access, keyset, queries, rules, services
from workflows_app.models import BulkItem, BulkItemState, BulkOperation, BulkState
from workflows_app.pages.rendering import is_fragment, page, show, topic, user_of
from workflows_app.pages.workflows import Filters, selected
from workflows_app.problems import Conflict, Invalid, NotFound
from workflows_app.services.bulk_control import VERBS, find_bulk
from workflows_app.services.bulk_preview import needs_reason
from workflows_app.services.bulk_progress import OPEN_STATES, UNDER_WAY

KINDS = {"cancel": "Cancel", "resume": "Resume", "delete": "Delete"}
SIZE = 100
RECENT = 50
# The order in which a person wants to see the items.
ITEM_STATES = ("failed", "skipped", "sent", "waiting", "done")


@require_http_methods(["GET", "POST"])
@page
def bulk_new(request: HttpRequest) -> HttpResponseBase:
    """Ask before acting on the selected workflows; on POST, request it."""
    access.require(request.user, "bulk")
    query = request.POST if request.method == "POST" else request.GET
    kind = query.get("kind", "")
    if kind not in KINDS:
        raise Invalid(f"Choose what to do with the selected workflows: {', '.join(KINDS)}.")
    access.require(request.user, access.PERMISSION_OF_KIND[kind])
    if request.method == "POST":
        return _request(request, kind)
    return _ask(request, kind)


def _ask(request: HttpRequest, kind: str) -> HttpResponseBase:
    filters = Filters.of(request.GET)
    chosen = selected(filters, request, request.GET)
    matched, is_exact = queries.capped_count(chosen)
    if not matched:
        raise Invalid("No workflow is selected. Tick some rows of the list first.")
    fitting = chosen.filter(status__in=rules.allowed_statuses(kind), pending_command=None)
    by_status = chosen.order_by().values("status").annotate(n=Count("id")).order_by("status")
    context = {
        "kind": kind,
        "word": KINDS[kind],
        "filters": filters,
        "matched": matched,
        "is_exact": is_exact,
        "fitting": queries.capped_count(fitting)[0],
        "by_status": list(by_status),
        "types_number": needs_reason(kind, matched),
        "keys": request.GET.getlist("w"),
        "everything": bool(request.GET.get("everything")),
        "back": f"{reverse('workflows')}?{filters.as_query()}",
    }
    template = "parts/confirm_bulk.html" if is_fragment(request) else "pages/confirm.html"
    return show(request, template, {**context, "body": "parts/confirm_bulk.html"})


def _request(request: HttpRequest, kind: str) -> HttpResponseBase:
    filters = Filters.of(request.POST)
    chosen = selected(filters, request, request.POST)
    matched, is_exact = queries.capped_count(chosen)
    _check_number(request.POST, kind, matched, is_exact=is_exact)
    bulk = services.request_bulk(
        user_of(request),
        kind,
        queryset=chosen,
        reason=request.POST.get("reason", "").strip()[:500],
        include_failed=True,
    )
    messages.success(request, f"{KINDS[kind]} of {bulk.total} workflows requested.")
    return HttpResponseRedirect(reverse("bulk", args=[bulk.id]))


def _check_number(query: QueryDict, kind: str, matched: int, *, is_exact: bool) -> None:
    if not needs_reason(kind, matched):
        return
    if query.get("number", "").strip() != str(matched):
        more = "" if is_exact else " or more"
        raise Invalid(
            f"{matched}{more} workflows are selected now, and {query.get('number', '')!r} was"
            " typed as their number. Go back to the list and select again; nothing was done."
        )


@require_GET
@page
def bulk_list(request: HttpRequest) -> HttpResponseBase:
    """The latest bulk operations."""
    recent = BulkOperation.objects.select_related("created_by")[:RECENT]
    return show(request, "pages/bulk_list.html", {"operations": recent}, live=[topic("overview")])


@require_GET
@page
def bulk_detail(request: HttpRequest, bulk_id: UUID) -> HttpResponseBase:
    """Progress of one operation and what became of each workflow, failures first."""
    bulk = find_bulk(bulk_id)
    counted = dict(bulk.items.order_by().values_list("state").annotate(n=Count("id")))
    state = request.GET.get("state", "")
    items = BulkItem.objects.filter(bulk=bulk)
    if state in BulkItemState.values:
        items = items.filter(state=state)
    found = keyset.paged(
        items,
        keyset.Sort("id"),
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    open_items = counted.get("waiting", 0) + counted.get("sent", 0)
    is_open = bulk.state in UNDER_WAY
    context = {
        "bulk": bulk,
        "found": found,
        "items": found.rows,
        "state": state,
        "states": [(name, counted.get(name, 0)) for name in ITEM_STATES],
        "shares": {
            "total": bulk.total,
            "successful": counted.get("done", 0),
            "failed": counted.get("failed", 0),
            "canceled": counted.get("skipped", 0),
            "running": counted.get("sent", 0),
            "pending": counted.get("waiting", 0),
        },
        "left": open_items,
        "is_open": is_open,
        "verbs": _possible(bulk, counted) if access.can(request.user, "bulk") else (),
        "took_ms": ((bulk.finished_at or timezone.now()) - bulk.created_at).total_seconds() * 1000,
    }
    live = [topic("list", params={"ids": [item.workflow_id for item in found.rows]})]
    return show(request, "pages/bulk.html", context, live=live if is_open else ())


DONE = {
    "pause": "Paused: what has been sent goes on, the rest waits.",
    "unpause": "It goes on.",
    "abort": "Abort requested: what has been sent goes on, the rest is skipped.",
    "retry-failed": "What has failed is sent once more.",
}


@require_POST
@page
def bulk_action(request: HttpRequest, bulk_id: UUID, verb: str) -> HttpResponseBase:
    """Pause, continue, abort or repeat an operation."""
    if verb not in VERBS:
        raise NotFound(f"A bulk operation has no action {verb!r}.")
    try:
        VERBS[verb](user_of(request), find_bulk(bulk_id))
    except Conflict as problem:
        messages.error(request, problem.detail)
    else:
        messages.success(request, DONE[verb])
    return HttpResponseRedirect(reverse("bulk", args=[bulk_id]))


def _possible(bulk: BulkOperation, counted: dict[str, int]) -> tuple[str, ...]:
    """What the page offers to do."""
    if bulk.state == BulkState.PAUSED:
        return "unpause", "abort"
    if bulk.state in OPEN_STATES:
        return "pause", "abort"
    return ("retry-failed",) if counted.get("failed") else ()
