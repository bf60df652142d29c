"""Previews: what pages may show of a value. Made by the worker that has it; bounded; plain JSON."""

from __future__ import annotations

import json
import reprlib
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from rayflow.storage import frames, images

_TEXT = 2_000
_ROWS = 50
_COLUMNS = 50
_ITEMS = 50
_DEPTH = 4
_PARTS = 5
_NAME = 100
_FRAMES = ("pandas", "polars")
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
        "image": None,
        "parts": [],
        "truncated": False,
    }


def _describe(value: Any, size: int) -> dict[str, Any]:
    preview = _frame(value, size)
    if isinstance(value, pa.Table | pa.RecordBatch):
        return {**preview, "shape": [value.num_rows, value.num_columns], **_table(value)}
    if frames.kind(value) in _FRAMES:
        return {**preview, "shape": [int(n) for n in value.shape], **_frame_table(value)}
    if isinstance(value, np.ndarray):
        return {**preview, "shape": list(value.shape), **_text(f"{value.dtype} {value!r}")}
    if hasattr(value, "shape") and hasattr(value, "head") and hasattr(value, "columns"):
        return {**preview, "shape": [int(n) for n in value.shape], **_text(repr(value.head(_ROWS)))}
    if (image := images.picture(value)) is not None:
        return {**preview, "shape": image.pop("shape"), "image": image}
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
    found = ((str(key)[:200], part) for key, part in value.items() if _worthy(part))
    return [
        {"name": name, "preview": _describe(part, _bytes(part))}
        for name, part in islice(found, _PARTS)
    ]


def _worthy(part: Any) -> bool:
    is_large = isinstance(part, pa.Table | pa.RecordBatch | np.ndarray)
    return is_large or frames.kind(part) in _FRAMES or images.is_image(part)


def _bytes(part: Any) -> int:
    match frames.kind(part):
        case "pandas":
            return int(part.memory_usage().sum())
        case "polars":
            return int(part.estimated_size())
    if images.is_image(part):
        return images.size(part)
    return int(part.nbytes)


def _text(text: str) -> dict[str, Any]:
    return {"text": text[:_TEXT], "truncated": len(text) > _TEXT}


def _table(table: pa.Table | pa.RecordBatch) -> dict[str, Any]:
    head = table.slice(0, _ROWS).select(list(range(min(_COLUMNS, table.num_columns))))
    data = [column.to_pylist() for column in head.columns]
    return _rows(head.schema.names, data, table.num_rows, table.num_columns)


def _frame_table(frame: Any) -> dict[str, Any]:
    """A pandas or Polars frame like an Arrow table; an index that is more than a count comes first."""
    if frames.kind(frame) == "polars":
        head = frame.head(_ROWS)[:, :_COLUMNS]
        return _rows(head.columns, [column.to_list() for column in head], *frame.shape)
    head = frame.iloc[:_ROWS, :_COLUMNS]
    names, data = [], []
    if type(frame.index).__name__ != "RangeIndex":
        names = ["index" if name is None else name for name in frame.index.names]
        data = [head.index.get_level_values(n).tolist() for n in range(len(names))]
    names += list(head.columns)
    data += [column.tolist() for _, column in head.items()]
    return _rows(names, data, *frame.shape)


def _rows(names: list[Any], data: list[list[Any]], total: int, width: int) -> dict[str, Any]:
    """The first rows of ``data``, a list for each column, as far as there is room for them."""
    rows: list[list[Any]] = []
    room = _TABLE
    for row in zip(*([_cell(cell) for cell in column] for column in data), strict=True):
        room -= len(json.dumps(row))
        if room < 0:
            break
        rows.append(list(row))
    cut = total > len(rows) or width > _COLUMNS
    columns = [_label(name) for name in names]
    return {"table": {"columns": columns, "rows": rows, "total_rows": total}, "truncated": cut}


def _label(name: Any) -> str:
    return str(name)[:_NAME].encode("utf-8", "replace").decode()


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
    if frames.kind(value) in _FRAMES:
        return f"<{frames.kind(value)} frame, shape {list(value.shape)}>", True
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
