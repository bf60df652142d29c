"""Previews: what pages may show of a value. Made by the worker that has it; bounded; plain JSON."""

from __future__ import annotations

import json
import reprlib
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

_TEXT = 2_000
_ROWS = 50
_COLUMNS = 50
_ITEMS = 50
_DEPTH = 4
_PARTS = 5
_NAME = 100
_CELL = 200
_TABLE = 16_000  # characters of JSON for all rows together

# repr() of a list of millions would take seconds to make a text of which a line is shown.
_bounded = reprlib.Repr()
_bounded.maxlist = _bounded.maxtuple = _bounded.maxdict = _bounded.maxset = _ITEMS
_bounded.maxstring = _bounded.maxother = _TEXT


def describe(value: Any, size: int) -> dict[str, Any]:
    """Type, size in bytes, shape and a bounded picture of ``value``. Never raises."""
    try:
        return _describe(value, size)
    except Exception as error:
        # Not its message either: a user's __str__ may raise as well.
        return {**_frame(value, size), "text": f"no preview: {type(error).__name__}"}


def _frame(value: Any, size: int) -> dict[str, Any]:
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
    return {
        "type": name,
        "size": size,
        "shape": None,
        "text": None,
        "json": None,
        "table": None,
        "parts": [],
        "truncated": False,
    }


def _describe(value: Any, size: int) -> dict[str, Any]:
    preview = _frame(value, size)
    if isinstance(value, pa.Table | pa.RecordBatch):
        return {**preview, "shape": [value.num_rows, value.num_columns], **_table(value)}
    if isinstance(value, np.ndarray):
        return {**preview, "shape": list(value.shape), **_text(f"{value.dtype} {value!r}")}
    if hasattr(value, "shape") and hasattr(value, "head") and hasattr(value, "columns"):
        return {**preview, "shape": [int(n) for n in value.shape], **_text(repr(value.head(_ROWS)))}
    plain, cut = _plain(value, _DEPTH)
    if len(json.dumps(plain, allow_nan=True)) > 8 * _TEXT:
        return {**preview, **_text(_bounded.repr(value))}
    if isinstance(value, dict | list | tuple | str | int | float | bool | None):
        return {**preview, "json": plain, "parts": _parts(value), "truncated": cut}
    return {**preview, **_text(_bounded.repr(value))}


def _parts(value: Any) -> list[dict[str, Any]]:
    """Tables and arrays that are values of a dict get a preview of their own."""
    if not isinstance(value, dict):
        return []
    worthy = (pa.Table, pa.RecordBatch, np.ndarray)
    found = ((str(key)[:200], part) for key, part in value.items() if isinstance(part, worthy))
    return [
        {"name": name, "preview": _describe(part, part.nbytes)}
        for name, part in islice(found, _PARTS)
    ]


def _text(text: str) -> dict[str, Any]:
    return {"text": text[:_TEXT], "truncated": len(text) > _TEXT}


def _table(table: pa.Table | pa.RecordBatch) -> dict[str, Any]:
    head = table.slice(0, _ROWS).select(list(range(min(_COLUMNS, table.num_columns))))
    columns = [name[:_NAME] for name in head.schema.names]
    data = [[_cell(cell) for cell in column.to_pylist()] for column in head.columns]
    rows: list[list[Any]] = []
    room = _TABLE
    for row in zip(*data, strict=True):
        room -= len(json.dumps(row))
        if room < 0:
            break
        rows.append(list(row))
    cut = table.num_rows > len(rows) or table.num_columns > _COLUMNS
    return {
        "table": {"columns": columns, "rows": rows, "total_rows": table.num_rows},
        "truncated": cut,
    }


def _cell(value: Any) -> Any:
    plain, _ = _plain(value, 1)
    return plain[:_CELL] if isinstance(plain, str) else plain


def _plain(value: Any, depth: int) -> tuple[Any, bool]:
    """``value`` as bounded JSON, and whether something was left out."""
    if value is None or isinstance(value, bool | int):
        return value, False
    if isinstance(value, float):
        return (value if value == value and abs(value) != float("inf") else repr(value)), False
    if isinstance(value, str):
        clean = value.encode("utf-8", "replace").decode()
        return clean[:_TEXT], len(clean) > _TEXT
    if isinstance(value, dict) and depth:
        return _plain_dict(value, depth)
    if isinstance(value, list | tuple) and depth:
        items = [_plain(item, depth - 1) for item in value[:_ITEMS]]
        cut = len(value) > _ITEMS or any(c for _, c in items)
        return [plain for plain, _ in items], cut
    if isinstance(value, pa.Table | pa.RecordBatch):
        names = ", ".join(name[:_NAME] for name in value.schema.names[:10])
        return f"<table of {value.num_rows} rows: {names}>", True
    if isinstance(value, np.ndarray):
        return f"<array of {value.dtype}, shape {list(value.shape)}>", True
    if isinstance(value, np.generic):
        return _plain(value.item(), depth)
    text = repr(value)
    return text[:200], len(text) > 200


def _plain_dict(value: dict[Any, Any], depth: int) -> tuple[dict[str, Any], bool]:
    items = {str(key)[:200]: _plain(item, depth - 1) for key, item in islice(value.items(), _ITEMS)}
    cut = len(value) > _ITEMS or any(c for _, c in items.values())
    return {key: plain for key, (plain, _) in items.items()}, cut
