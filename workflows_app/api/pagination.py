"""Pages of the API's lists: their parameters, their envelope, their counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from workflows_app import keyset, queries
from workflows_app.keyset import Sort

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


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
    bound = keyset.fingerprint(
        scope, {k: v for k, v in query.items() if k not in ("limit", "cursor")}
    )
    cursor = keyset.decode(query["cursor"], bound) if query.get("cursor") else None
    page = keyset.paginate(queryset, sort, cursor=cursor, size=limit, bound=bound)
    return Page(rows=page.rows, next=page.next, prev=page.previous, limit=limit)


def capped_count(queryset: QuerySet[Any]) -> dict[str, Any]:
    """Count matching rows up to `queries.COUNT_CAP`; the database stops there."""
    value, exact = queries.capped_count(queryset)
    return {"value": value, "relation": "eq" if exact else "gte"}
