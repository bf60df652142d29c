"""Keyset pages in both directions, for any list: no OFFSET, and no count without a bound.

Rows are ordered by one column and then by id, which makes the order total. Empty values come last
in an ascending list and first in a descending one, so that the two are exact mirrors and a page can
be read backwards with the same index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Model, Q, QuerySet
from rest_framework import serializers

from workflows_app import queries
from workflows_app.api.cursors import Cursor, Direction, decode, fingerprint

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: a column, whether it may be empty, and which end comes first."""

    column: str
    descending: bool = False
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What a list endpoint answers, before its items are serialized."""

    rows: list[Any]
    next: str | None
    prev: str | None
    limit: int

    def envelope(self, items: Any, count: Mapping[str, Any] | None = None) -> dict[str, Any]:
        page = {"next": self.next, "prev": self.prev, "limit": self.limit}
        body: dict[str, Any] = {"items": items, "page": page}
        if count is not None:
            body["count"] = count
        return body


class PageQuery(serializers.Serializer[Any]):
    """The query parameters that every paged list takes."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="Rows in one page."
    )
    cursor = serializers.CharField(
        max_length=1_000, required=False, help_text="`page.next` or `page.prev` of another page."
    )


class PageSerializer(serializers.Serializer[Any]):
    """Where a page lies in its list."""

    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page, if any.")
    prev = serializers.CharField(allow_null=True, help_text="Cursor of the page before, if any.")
    limit = serializers.IntegerField()


class CountSerializer(serializers.Serializer[Any]):
    """How many rows match: exactly `value`, or at least that many."""

    value = serializers.IntegerField()
    relation = serializers.ChoiceField(choices=["eq", "gte"])


def paginate(queryset: QuerySet[Any], sort: Sort, *, scope: str, query: Mapping[str, Any]) -> Page:
    """One page of `queryset` in `sort` order, in one statement.

    `query` is the validated parameters of the request: `limit` and `cursor` are taken from it, the
    others (with `scope`, the name of the list) are what a cursor is bound to.
    Raises `BadCursor` for a cursor of another query.
    """
    limit = int(query["limit"])
    bound = fingerprint(scope, {k: v for k, v in query.items() if k not in ("limit", "cursor")})
    cursor = decode(query["cursor"], bound) if query.get("cursor") else None
    backwards = cursor is not None and cursor.direction == "prev"
    rows = list(_window(queryset, sort, cursor, limit + 1))
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()
    has_next, has_prev = (bool(rows), more) if backwards else (more, cursor is not None)

    def mark(row: Model, direction: Direction) -> str:
        key = row.pk if isinstance(row.pk, int) else str(row.pk)
        return Cursor(direction, getattr(row, sort.column), key).encode(bound)

    return Page(
        rows=rows,
        next=mark(rows[-1], "next") if rows and has_next else None,
        prev=mark(rows[0], "prev") if rows and has_prev else None,
        limit=limit,
    )


def after(queryset: QuerySet[Any], sort: Sort, row: Model | None, size: int) -> QuerySet[Any]:
    """The next ``size`` rows of a list behind ``row``, or its first ones."""
    cursor = None if row is None else Cursor("next", getattr(row, sort.column), row.pk)
    return _window(queryset, sort, cursor, size)


def capped_count(queryset: QuerySet[Any]) -> dict[str, Any]:
    """Count matching rows up to `queries.COUNT_CAP`; the database stops there."""
    value, exact = queries.capped_count(queryset)
    return {"value": value, "relation": "eq" if exact else "gte"}


def _window(queryset: QuerySet[Any], sort: Sort, cursor: Cursor | None, size: int) -> QuerySet[Any]:
    descending = sort.descending != (cursor is not None and cursor.direction == "prev")
    if cursor is not None:
        queryset = queryset.filter(_beyond(sort, cursor, descending=descending))
    column = F(sort.column)
    if descending:
        order = column.desc(nulls_first=True) if sort.nullable else column.desc()
        return queryset.order_by(order, "-pk")[:size]
    order = column.asc(nulls_last=True) if sort.nullable else column.asc()
    return queryset.order_by(order, "pk")[:size]


def _beyond(sort: Sort, cursor: Cursor, *, descending: bool) -> Q:
    """The rows after the cursor's row in reading order.

    Written as `col >= v AND (col > v OR id > i)`: the first part is a range the index can seek to.
    """
    strict, loose = ("lt", "lte") if descending else ("gt", "gte")
    past_id = Q(**{f"pk__{strict}": cursor.row_id})
    empty = Q(**{f"{sort.column}__isnull": True})
    if cursor.value is None:
        return (~empty | past_id) if descending else (empty & past_id)
    past = Q(**{f"{sort.column}__{loose}": cursor.value}) & (
        Q(**{f"{sort.column}__{strict}": cursor.value}) | past_id
    )
    return past | empty if sort.nullable and not descending else past
