"""Writing many rows of one table at once, as fast as the database takes them.

Django's ``bulk_create`` asks every field of every row how it is to be stored, which is most of the time that the
follower needs. Here a column is asked once. Rows are written as the same values, by the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Field, JSONField, Model

from workflows_app.payloads import Encoded, encode

BATCH = 2_000

Convert = Callable[[Any], Any]
Columns = Sequence[tuple["Field[Any, Any]", Convert | None]]


def insert(model: type[Model], rows: Iterable[Any], *, with_ids: bool = False) -> None:
    """Insert rows that are not there: objects with the attributes of the model's fields.

    ``with_ids``: they have their ids; else the database numbers them.
    """
    columns = _columns(model, connection.vendor)
    if not with_ids:
        columns = [column for column in columns if not column[0].primary_key]
    table = connection.ops.quote_name(model._meta.db_table)
    if connection.vendor == "postgresql":
        _copy(table, rows, columns)
    else:
        _execute(
            f"INSERT INTO {table} ({_names(columns)}) VALUES ({_places(columns)})", rows, columns
        )


def upsert(model: type[Model], rows: Sequence[Model], *, keys: Sequence[str]) -> None:
    """Insert rows, and update those whose ``keys`` (names of fields) are there. All have their ids."""
    if not rows:
        return
    columns = _columns(model, connection.vendor)
    names = _names(columns)
    target = ", ".join(_quoted(field) for field, _ in columns if field.name in keys)
    changes = ", ".join(
        f"{_quoted(field)} = EXCLUDED.{_quoted(field)}"
        for field, _ in columns
        if field.name not in keys and not field.primary_key
    )
    conflict = f"ON CONFLICT ({target}) DO UPDATE SET {changes}"
    table = connection.ops.quote_name(model._meta.db_table)
    if connection.vendor != "postgresql":
        _execute(
            f"INSERT INTO {table} ({names}) VALUES ({_places(columns)}) {conflict}", rows, columns
        )
        return
    # One statement for all of them, by way of a table that only this connection sees.
    passing = connection.ops.quote_name(f"passing_{model._meta.db_table}")
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE IF NOT EXISTS {passing} (LIKE {table}) ON COMMIT DELETE ROWS"
        )
        _copy(passing, rows, columns)
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {passing} {conflict}")
        cursor.execute(f"TRUNCATE {passing}")


def number(model: type[Model], rows: Sequence[Model]) -> None:
    """Give new rows their ids; nobody else may insert into the table meanwhile, or it is PostgreSQL."""
    new = [row for row in rows if row.pk is None]
    if not new:
        return
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
                [connection.ops.quote_name(table), len(new)],
            )
            ids = [row[0] for row in cursor.fetchall()]
        else:
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
            last = (cursor.fetchone() or (0,))[0]
            ids = list(range(last + 1, last + 1 + len(new)))
    for row, new_id in zip(new, ids, strict=True):
        row.pk = new_id


def _copy(table: str, rows: Iterable[Any], columns: Columns) -> None:
    statement = f"COPY {table} ({_names(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in _packed(rows, columns):
            copy.write_row(row)


def _execute(statement: str, rows: Iterable[Any], columns: Columns) -> None:
    packed = _packed(rows, columns)
    with connection.cursor() as cursor:
        while batch := list(islice(packed, BATCH)):
            cursor.executemany(statement, batch)


def _names(columns: Columns) -> str:
    return ", ".join(_quoted(field) for field, _ in columns)


def _places(columns: Columns) -> str:
    return ", ".join(["%s"] * len(columns))


def _packed(rows: Iterable[Any], columns: Columns) -> Iterator[tuple[Any, ...]]:
    read = attrgetter(*(field.attname for field, _ in columns))
    special = [(n, convert) for n, (_, convert) in enumerate(columns) if convert is not None]
    for row in rows:
        values = list(read(row))
        for n, convert in special:
            if values[n] is not None:
                values[n] = convert(values[n])
        yield tuple(values)


@cache
def _columns(model: type[Model], vendor: str) -> Columns:
    return [(field, _converter(field, vendor)) for field in model._meta.concrete_fields]


def _converter(field: Field[Any, Any], vendor: str) -> Convert | None:
    if isinstance(field, JSONField):
        return _json
    if isinstance(field, DateTimeField) and vendor != "postgresql":
        return _naive
    return None


def _json(value: Any) -> str:
    return value if isinstance(value, Encoded) else encode(value)


def _naive(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")


def _quoted(field: Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))
