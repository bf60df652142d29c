"""``/workflows/``: the list, with search, filters, paging, selection and live rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.views.decorators.http import require_GET

from workflows_app import access, queries
from workflows_app.models import Definition, Workflow, WorkflowStatus
from workflows_app.pages import keyset
from workflows_app.pages.rendering import page, show, topic
from workflows_app.search import BadQuery

SIZES = (25, 50, 100, 200)
ORDERS = {
    "newest": keyset.Order("created_at", descending=True),
    "oldest": keyset.Order("created_at"),
}
MOST_NEW = 100
MOST_DEFINITIONS = 200


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for; everything unknown falls back to "all, newest first"."""

    q: str = ""
    status: str = ""
    definition: str = ""
    sort: str = "newest"
    size: int = 50

    @classmethod
    def of(cls, query: QueryDict) -> Filters:
        size = query.get("size", "")
        return cls(
            q=query.get("q", "").strip()[:500],
            status=query.get("status", "") if query.get("status") in WorkflowStatus else "",
            definition=query.get("definition", "")[:500],
            sort=query.get("sort", "") if query.get("sort") in ORDERS else "newest",
            size=int(size) if size.isdigit() and int(size) in SIZES else 50,
        )

    @property
    def order(self) -> keyset.Order:
        return ORDERS[self.sort]

    @property
    def is_narrowed(self) -> bool:
        return bool(self.q or self.status or self.definition)

    def apply(self, workflows: QuerySet[Workflow], user: access.Actor) -> QuerySet[Workflow]:
        """Those that match.

        Raises:
            BadQuery: the query cannot be read or answered.
        """
        return queries.search(
            workflows,
            q=self.q,
            status=[self.status] if self.status else (),
            definition=[self.definition] if self.definition else (),
            may_see_payload=access.can(user, "view_payload"),
        )

    def as_query(self) -> str:
        """The filters as the query part of an address, without what is the default anyway."""
        given = {"q": self.q, "status": self.status, "definition": self.definition}
        if self.sort != "newest":
            given["sort"] = self.sort
        if self.size != 50:
            given["size"] = str(self.size)
        return urlencode({name: value for name, value in given.items() if value})


@require_GET
@page
def workflow_list(request: HttpRequest) -> HttpResponseBase:
    """The list, or its result part when a filter changes."""
    filters = Filters.of(request.GET)
    choices = {
        "filters": filters,
        "sizes": SIZES,
        "statuses": WorkflowStatus.values,
        "definitions": Definition.objects.values_list("name", flat=True)[:MOST_DEFINITIONS],
        "may": permissions(request),
    }
    try:
        matching = filters.apply(access.workflows_for(request.user), request.user)
    except BadQuery as problem:
        return _mistaken(request, choices, problem)
    cursor = request.GET.get("cursor", "")
    # The journal-sized columns stay in the database: a row shows none of them.
    found = keyset.paginate(slim(matching), filters.order, cursor=cursor, size=filters.size)
    counted, is_exact = queries.capped_count(matching)
    is_front = filters.sort == "newest" and found.previous is None
    context = {
        **choices,
        "found": found,
        "workflows": found.rows,
        "counted": counted,
        "is_exact": is_exact,
        "front": keyset.cursor_at(found.rows[0], filters.order) if is_front and found.rows else "",
        "is_front": is_front,
        "row_keys": ",".join(str(row.pk) for row in found.rows),
        "rows_live": json.dumps(_row_topics(found.rows)),
    }
    return show(request, "pages/workflows.html", context)


def _mistaken(request: HttpRequest, choices: dict[str, Any], problem: BadQuery) -> HttpResponseBase:
    """The list's page with its filters, and instead of rows what is wrong with the query, and where."""
    text, at = choices["filters"].q, problem.at
    marked = {"before": text[:at], "at": text[at : at + 1], "after": text[at + 1 :]}
    context = {**choices, "mistake": problem.errors[0]["detail"], "marked": marked}
    return show(request, "pages/workflows.html", context, status=problem.status)


@require_GET
@page
def workflow_rows(request: HttpRequest) -> HttpResponseBase:
    """The rows that are on a reader's screen, as they are now, and how many newer ones wait.

    Rows keep their places: one that no longer matches the filter stays until the list is loaded
    again, so nothing moves under the pointer.
    """
    filters = Filters.of(request.GET)
    keys = [int(key) for key in request.GET.get("rows", "").split(",") if key.isdigit()]
    visible = access.workflows_for(request.user)
    by_key = slim(visible).in_bulk(keys[: max(SIZES)])
    rows = [by_key[key] for key in keys if key in by_key]
    context = {
        "filters": filters,
        "workflows": rows,
        "front": request.GET.get("front", ""),
        "row_keys": ",".join(map(str, keys)),
        "gone": len(keys) - len(rows),
        "new": _newer(filters, visible, request.user, request.GET.get("front", "")),
        "may": permissions(request),
    }
    return show(request, "parts/workflow_rows.html", context)


def _row_topics(rows: Iterable[Workflow]) -> list[Any]:
    """What a list listens to: its own rows; the same topic tells of new ones."""
    return [topic("list", params={"ids": [row.workflow_id for row in rows]})]


def _newer(filters: Filters, visible: QuerySet[Workflow], user: access.Actor, front: str) -> int:
    """How many matching workflows arrived after the first row of the page, counted up to a bound."""
    place = keyset.read(front)
    if place is None:
        return 0
    ahead = filters.order.beyond(place.value, place.pk, reverse=True)
    return queries.capped_count(filters.apply(visible, user).filter(ahead), MOST_NEW + 1)[0]


def slim(workflows: QuerySet[Workflow]) -> QuerySet[Workflow]:
    """Only the columns that a row of a list shows."""
    return workflows.only(
        "workflow_id",
        "status",
        "definition",
        "created_by",
        "created_at",
        "started_at",
        "finished_at",
        "duration_ms",
        "tasks_total",
        "tasks_pending",
        "tasks_running",
        "tasks_successful",
        "tasks_failed",
        "tasks_canceled",
        "pending_command",
        "error",
    )


def permissions(request: HttpRequest) -> dict[str, bool]:
    """What this account may do, for showing or hiding the buttons."""
    verbs = ("start", "cancel", "resume", "delete")
    may = {verb: access.can(request.user, f"{verb}_workflow") for verb in verbs}
    return {
        **may,
        "suspend": may["cancel"],
        "bulk": access.can(request.user, "bulk"),
        "payload": access.can(request.user, "view_payload"),
    }


def selected(filters: Filters, request: HttpRequest, query: QueryDict) -> QuerySet[Workflow]:
    """The workflows a bulk form means: the ticked rows, or everything the filters match."""
    visible = access.workflows_for(request.user)
    if query.get("everything"):
        return filters.apply(visible, request.user)
    keys = [int(key) for key in query.getlist("w") if key.isdigit()]
    return visible.filter(pk__in=keys[: max(SIZES)])
