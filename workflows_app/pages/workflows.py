"""``/workflows/``: the list, with search, filters, paging, selection and live rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.views.decorators.http import require_GET

from workflows_app import access, keyset, queries, workflow_columns
from workflows_app.exporting import FORMATS
from workflows_app.keyset import Sort
from workflows_app.models import Definition, Workflow, WorkflowStatus
from workflows_app.pages import code_examples, views
from workflows_app.pages.rendering import number_of, numbers_of, page, show, topic, user_of
from workflows_app.search import BadQuery
from workflows_app.workflow_columns import Column

SIZES = (25, 50, 100, 200)
NEWEST = "-created"
ORDERS = {
    "-created": "Newest first",
    "created": "Oldest first",
    "-started": "Last started first",
    "-finished": "Last finished first",
    "started": "First started first",
    "finished": "First finished first",
    "-duration": "Longest first",
    "duration": "Shortest first",
}
MOST_NEW = 100
MOST_DEFINITIONS = 200
SCOPE = "workflows"


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for; everything unknown falls back to "all, newest first"."""

    q: str = ""
    status: str = ""
    definition: str = ""
    sort: str = NEWEST
    size: int = 50
    columns: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Filters:
        size = number_of(query.get("size", ""))
        given = workflow_columns.of(query.get("columns", "").split("."))
        return cls(
            q=query.get("q", "").strip()[:500],
            status=query.get("status", "") if query.get("status") in WorkflowStatus else "",
            definition=query.get("definition", "")[:500],
            sort=query.get("sort", "") if query.get("sort") in queries.SORTS else NEWEST,
            size=size if size in SIZES else 50,
            columns=".".join(column.name for column in given),
        )

    @property
    def order(self) -> Sort:
        return queries.SORTS[self.sort]

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
        given = {"size": "" if self.size == 50 else str(self.size), "columns": self.columns}
        return urlencode(self.as_api | {name: value for name, value in given.items() if value})

    def sorted_by(self, sort: str) -> str:
        """As :meth:`as_query`, with another order."""
        return replace(self, sort=sort).as_query()

    @property
    def as_api(self) -> dict[str, str]:
        """The same list, as parameters of the API."""
        given = {"q": self.q, "status": self.status, "definition": self.definition}
        given["sort"] = "" if self.sort == NEWEST else self.sort
        return {name: value for name, value in given.items() if value}

    @property
    def order_words(self) -> str:
        return ORDERS.get(self.sort, self.sort).lower()

    def shown_columns(self, request: HttpRequest) -> list[Column]:
        """What the address asks for, else what the account has chosen."""
        return workflow_columns.chosen(self.columns or request.COOKIES.get("columns", ""))


@require_GET
@page
def workflow_list(request: HttpRequest) -> HttpResponseBase:
    """The list, or its result part when a filter changes."""
    filters = Filters.of(request.GET)
    columns = filters.shown_columns(request)
    choices = {
        "filters": filters,
        "sizes": SIZES,
        "orders": ORDERS,
        "statuses": WorkflowStatus.values,
        "columns": columns,
        "all_columns": workflow_columns.COLUMNS.values(),
        "views": views.bar(
            user_of(request), q=filters.q, is_plain=not (filters.status or filters.definition)
        ),
        "definitions": Definition.objects.values_list("name", flat=True)[:MOST_DEFINITIONS],
        "may": permissions(request),
    }
    try:
        matching = filters.apply(access.workflows_for(request.user), request.user)
    except BadQuery as problem:
        return _mistaken(request, choices, problem)
    cursor = request.GET.get("cursor", "")
    # The journal-sized columns stay in the database: a row shows none of them.
    rows = slim(matching, columns)
    found = keyset.paged(rows, filters.order, cursor=cursor, size=filters.size, scope=SCOPE)
    counted, is_exact = queries.capped_count(matching)
    is_front = filters.sort == NEWEST and found.previous is None and bool(found.rows)
    context = {
        **choices,
        "found": found,
        "workflows": found.rows,
        "counted": counted,
        "is_exact": is_exact,
        "front": _front(found.rows[0], filters) if is_front else "",
        "is_front": is_front,
        "row_keys": ",".join(str(row.pk) for row in found.rows),
        "exports": [(f"{urlencode(filters.as_api | {'format': kind})}", kind) for kind in FORMATS],
        "curl": code_examples.list_curl(request, filters.as_api),
        "plain_query": replace(filters, columns="").as_query(),
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
    keys = numbers_of(request.GET.get("rows", "").split(","))
    visible = access.workflows_for(request.user)
    columns = filters.shown_columns(request)
    by_key = slim(visible, columns).in_bulk(keys[: max(SIZES)])
    rows = [by_key[key] for key in keys if key in by_key]
    context = {
        "filters": filters,
        "columns": columns,
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
    place = keyset.decode_or_none(front, SCOPE)
    if place is None:
        return 0
    ahead = filters.order.beyond(place, backwards=True)
    return queries.capped_count(filters.apply(visible, user).filter(ahead), MOST_NEW + 1)[0]


def _front(row: Workflow, filters: Filters) -> str:
    return keyset.Cursor.at(row, filters.order, "prev").encode(SCOPE)


def slim(workflows: QuerySet[Workflow], columns: Iterable[Column] = ()) -> QuerySet[Workflow]:
    """Only the fields that a row of a list shows, and those of further columns."""
    return workflows.only(
        *(field for column in columns for field in column.fields),
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
    keys = numbers_of(query.getlist("w"))
    return visible.filter(pk__in=keys[: max(SIZES)])
