"""Pages of long lists by keyset: no OFFSET, equally fast on page 1 and page 500, stable while rows arrive.

Rows are ordered by one column and then by id, which makes the order total. Empty values come last
in an ascending list and first in a descending one, so that the two are exact mirrors and a page can
be read backwards with the same index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from django.core import signing
from django.db.models import F, Model, Q, QuerySet

from workflows_app.problems import Invalid

M = TypeVar("M", bound=Model)
Direction = Literal["next", "prev"]
SALT = "rayflow.cursor"


class BadCursor(Invalid):
    """The cursor was altered, belongs to another query, or is no cursor at all."""

    default_code = "bad_cursor"
    title = "The cursor cannot be used here"


@dataclass(frozen=True, slots=True)
class Sort:
    """An order: a column, whether it may be empty, and which end comes first."""

    column: str
    descending: bool = False
    nullable: bool = False

    def apply(self, queryset: QuerySet[M], *, backwards: bool = False) -> QuerySet[M]:
        """``queryset`` in this order, or in the opposite one."""
        descending, column = self.descending != backwards, F(self.column)
        if descending:
            first = column.desc(nulls_first=True) if self.nullable else column.desc()
            return queryset.order_by(first, "-pk")
        first = column.asc(nulls_last=True) if self.nullable else column.asc()
        return queryset.order_by(first, "pk")

    def beyond(self, cursor: Cursor, *, backwards: bool = False) -> Q:
        """The rows after the cursor's row in reading order that have a value, or none, as it has.

        Written as `col >= v AND (col > v OR id > i)`: the first part is a range the index can seek to.
        """
        descending = self.descending != backwards
        strict, loose = ("lt", "lte") if descending else ("gt", "gte")
        past_id = Q(**{f"pk__{strict}": cursor.row_id})
        if cursor.value is None:
            return self._empty & past_id
        return Q(**{f"{self.column}__{loose}": cursor.value}) & (
            Q(**{f"{self.column}__{strict}": cursor.value}) | past_id
        )

    def others(self, cursor: Cursor, *, backwards: bool = False) -> Q | None:
        """The rows that follow those of :meth:`beyond`, if any do: those without a value, or those with one."""
        comes_first = self.descending != backwards  # what has no value
        if not self.nullable or comes_first != (cursor.value is None):
            return None
        return ~self._empty if cursor.value is None else self._empty

    @property
    def _empty(self) -> Q:
        return Q(**{f"{self.column}__isnull": True})


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows: the row next to it, as sort value and id, and which way to read."""

    direction: Direction
    value: datetime | int | str | None
    row_id: int | str

    @classmethod
    def at(cls, row: Model, sort: Sort, direction: Direction = "next") -> Cursor:
        """The place beside ``row``."""
        key = row.pk if isinstance(row.pk, int) else str(row.pk)
        return cls(direction, getattr(row, sort.column), key)

    def encode(self, bound: str) -> str:
        """Opaque and signed: who holds it can neither read more with it nor change it."""
        moment = isinstance(self.value, datetime)
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        packed = [self.direction[0], "t" if moment else "v", value, self.row_id, bound]
        return signing.Signer(salt=SALT).sign_object(packed, compress=False)


def decode(text: str, bound: str) -> Cursor:
    """Read a cursor back; raises `BadCursor` unless this server signed it for this very query."""
    try:
        way, kind, value, row_id, signed = signing.Signer(salt=SALT).unsign_object(text)
    except Exception as error:  # a forged text fails in base64, zlib, JSON or the signature alike
        raise BadCursor("The cursor is damaged; start again without `cursor`.") from error
    if signed != bound:
        raise BadCursor(
            "The cursor belongs to another query or sort; repeat the parameters it was made with, "
            "or start again without `cursor`."
        )
    moment = datetime.fromisoformat(value) if kind == "t" else value
    return Cursor("next" if way == "n" else "prev", moment, row_id)


def decode_or_none(text: str, bound: str) -> Cursor | None:
    """As :func:`decode`; None for no cursor and for one that cannot be used here."""
    try:
        return decode(text, bound) if text else None
    except BadCursor:
        return None


def fingerprint(scope: str, parameters: Mapping[str, Any]) -> str:
    """A short digest of everything that decides which rows a list holds and in which order."""
    text = json.dumps([scope, sorted(parameters.items())], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some rows, and the cursors of the pages around them."""

    rows: list[M]
    next: str | None
    previous: str | None


def paginate(
    queryset: QuerySet[M], sort: Sort, *, cursor: Cursor | None, size: int, bound: str
) -> Page[M]:
    """One page of ``queryset`` in ``sort`` order, in one statement (two where those with empty values begin or end).

    Args:
        bound: what its cursors are signed for; see :func:`decode`.
    """
    backwards = cursor is not None and cursor.direction == "prev"
    rows = _window(queryset, sort, cursor, size + 1)
    more = len(rows) > size
    rows = rows[:size]
    if backwards:
        rows.reverse()
    has_next, has_previous = (bool(rows), more) if backwards else (more, cursor is not None)

    def mark(row: M, direction: Direction) -> str:
        return Cursor.at(row, sort, direction).encode(bound)

    return Page(
        rows=rows,
        next=mark(rows[-1], "next") if rows and has_next else None,
        previous=mark(rows[0], "prev") if rows and has_previous else None,
    )


def paged(queryset: QuerySet[M], sort: Sort, *, cursor: str, size: int, scope: str) -> Page[M]:
    """As :func:`paginate` for a page that people read: a cursor that is of no use leads to the first page."""
    bound = f"{scope} {sort.column} {sort.descending}"
    place = decode_or_none(cursor, bound)
    return paginate(queryset, sort, cursor=place, size=size, bound=bound)


def after(queryset: QuerySet[M], sort: Sort, row: Model | None, size: int) -> list[M]:
    """The next ``size`` rows of a list behind ``row``, or its first ones."""
    return _window(queryset, sort, None if row is None else Cursor.at(row, sort), size)


def _window(queryset: QuerySet[M], sort: Sort, cursor: Cursor | None, size: int) -> list[M]:
    backwards = cursor is not None and cursor.direction == "prev"
    ordered = sort.apply(queryset, backwards=backwards)
    if cursor is None:
        return list(ordered[:size])
    rows = list(ordered.filter(sort.beyond(cursor, backwards=backwards))[:size])
    # Asked for apart, both parts are ranges of the index; "one or the other" would be read from the beginning.
    others = sort.others(cursor, backwards=backwards)
    if len(rows) < size and others is not None:
        rows += ordered.filter(others)[: size - len(rows)]
    return rows
