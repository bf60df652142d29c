"""Tasks for the items of one list as they lie in a journal: one row stands for many ``task`` records.

They differ in their numbers alone: sequence number, id, and position of the item. So a list of ten thousand
items is some dozens of rows, and readers get ten thousand records all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from rayflow.core.records import Kind, Record

ROW = "tasks"  # the kind of a row that stands for many records


def packed(records: Sequence[Record]) -> Iterator[Record]:
    """The rows for ``records``: a run of tasks for successive items becomes one."""
    first: Record | None = None
    shape: dict[str, Any] = {}
    count = 0
    for record in records:
        if first is not None and _follows(record, first, shape, count):
            count += 1
            continue
        if first is not None:
            yield _row(first, count)
        first, count = record, 1
        shape = _shape(record) if record.kind == Kind.TASK and "item" in record.data else {}
    if first is not None:
        yield _row(first, count)


def unpacked(rows: Iterable[Record]) -> Iterator[Record]:
    """The inverse of :func:`packed`."""
    for row in rows:
        if row.kind != ROW:
            yield row
            continue
        data = {key: value for key, value in row.data.items() if key != "count"}
        for number in range(row.data["count"]):
            yield replace(
                row,
                seq=row.seq + number,
                kind=Kind.TASK,
                task_id=_id(row, number),
                data={**data, "item": {**data["item"], "at": data["item"]["at"] + number}},
            )


def _row(first: Record, count: int) -> Record:
    if count == 1:
        return first
    return replace(first, kind=ROW, data={**first.data, "count": count})


def _follows(record: Record, first: Record, shape: dict[str, Any], count: int) -> bool:
    """Whether ``record`` is what :func:`unpacked` makes as number ``count`` of ``first``'s row."""
    if not shape or record.kind != Kind.TASK or "item" not in record.data:
        return False
    is_next = (
        record.seq == first.seq + count
        and record.time == first.time
        and record.value == first.value
        and record.data["item"]["at"] == first.data["item"]["at"] + count
        and record.task_id == _id(first, count)
    )
    return is_next and _shape(record) == shape


def _shape(record: Record) -> dict[str, Any]:
    """What tasks in one row have in common."""
    item = {key: value for key, value in record.data["item"].items() if key != "at"}
    return {**record.data, "item": item}


def _id(first: Record, number: int) -> str | None:
    """The id that is ``number`` after that of ``first``; None if that follows no rule."""
    if number == 0:
        return first.task_id
    name, task_id = first.data["name"], first.task_id or ""
    suffix = task_id.removeprefix(f"{name}_")
    start = 0 if task_id == name else int(suffix) if suffix.isdecimal() else None
    return None if start is None else f"{name}_{start + number}"
