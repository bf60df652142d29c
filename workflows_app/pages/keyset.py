"""Pages of long lists by keyset: equally fast on page 1 and page 500, stable while rows arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)
SALT = "rayflow.pages.keyset"


@dataclass(frozen=True, slots=True)
class Order:
    """Rows by `field`, ties by primary key; both in the same direction."""

    field: str = "id"
    descending: bool = False

    def columns(self, *, reverse: bool) -> list[str]:
        sign = "-" if self.descending != reverse else ""
        names = [self.field] if self.field == "id" else [self.field, "id"]
        return [f"{sign}{name}" for name in names]

    def beyond(self, value: Any, pk: int, *, reverse: bool) -> Q:
        """Rows after the place given, in the direction of reading."""
        compare = "lt" if self.descending != reverse else "gt"
        if self.field == "id":
            return Q(**{f"id__{compare}": pk})
        tie = Q(**{self.field: value, f"id__{compare}": pk})
        # The first condition alone lets the database use the index as a range.
        return Q(**{f"{self.field}__{compare}e": value}) & (
            Q(**{f"{self.field}__{compare}": value}) | tie
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A row's sort value and key, and which way to read from there."""

    value: Any
    pk: int
    backwards: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows and the cursors of the pages around them."""

    rows: list[M]
    next: str | None
    previous: str | None


def paginate(queryset: QuerySet[M], order: Order, *, cursor: str, size: int) -> Page[M]:
    """One page of `queryset`, without counting and without offset.

    A cursor that is damaged or belongs elsewhere leads to the first page.
    """
    place = read(cursor)
    backwards = place is not None and place.backwards
    if place is not None:
        queryset = queryset.filter(order.beyond(place.value, place.pk, reverse=backwards))
    found = list(queryset.order_by(*order.columns(reverse=backwards))[: size + 1])
    more = len(found) > size
    rows = found[:size]
    if backwards:
        rows.reverse()
    has_previous = more if backwards else place is not None
    has_next = more or backwards
    return Page(
        rows=rows,
        next=cursor_at(rows[-1], order) if rows and has_next else None,
        previous=cursor_at(rows[0], order, backwards=True) if rows and has_previous else None,
    )


def cursor_at(row: Model, order: Order, *, backwards: bool = False) -> str:
    """The cursor of the page that begins beyond `row`."""
    value = getattr(row, order.field)
    text = value.isoformat() if isinstance(value, datetime) else value
    return signing.dumps(["p" if backwards else "n", text, row.pk], salt=SALT, compress=False)


def read(cursor: str) -> Place | None:
    """The place a cursor names, or None when it is empty or was not made here."""
    if not cursor:
        return None
    try:
        direction, text, pk = signing.loads(cursor, salt=SALT)
    except (signing.BadSignature, ValueError):
        return None
    value = datetime.fromisoformat(text) if isinstance(text, str) else text
    return Place(value=value, pk=pk, backwards=direction == "p")
