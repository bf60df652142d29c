"""Tables and frames as Arrow IPC streams, of which the data stays where it is until it is written.

pandas and Polars are optional. A value of theirs is known by its type's module, so neither is imported
unless the value is its own. A frame that would not come back exactly as it was has no form here: it is
pickled, with its arrays beside the pickle.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyarrow as pa

from rayflow.storage.store import Buffer

_KINDS = {
    ("pandas", "DataFrame"): "pandas",
    ("pandas", "Series"): "pandas-series",
    ("polars", "DataFrame"): "polars",
    ("polars", "Series"): "polars-series",
}
FORMATS = frozenset({"arrow-table", "arrow-batch", *_KINDS.values()})
_UNNAMED = b"rayflow.unnamed"
_HEAD = 5  # rows that go there and back before a frame is written; the types of the rest are known


def kind(value: Any) -> str | None:
    """The format that ``value`` would have, or None if it is neither table nor frame."""
    cls = type(value)
    if cls is pa.Table:
        return "arrow-table"
    if cls is pa.RecordBatch:
        return "arrow-batch"
    found = _KINDS.get((cls.__module__.partition(".")[0], cls.__name__))
    # A subclass, or a class of that name in a module of a similar name, is pickled as itself.
    return found if found and cls is _library(found, cls.__name__) else None


def encode(value: Any) -> tuple[str, list[Buffer]] | None:
    """The format and the parts of ``value``, or None if it has no exact form."""
    found = kind(value)
    if found is None:
        return None
    if found.startswith("arrow"):
        return found, _stream(value)
    try:
        table = _from_pandas(value) if found.startswith("pandas") else _from_polars(value)
    except Exception:  # noqa: BLE001 - whatever Arrow cannot take over is pickled instead
        return None
    return None if table is None else (found, _stream(table))


def decode(format: str, data: Buffer) -> Any:
    """The inverse of :func:`encode`."""
    reader = pa.ipc.open_stream(pa.py_buffer(data))
    if format == "arrow-batch":
        return reader.read_next_batch()
    table = reader.read_all()
    if format == "arrow-table":
        return table
    return _to_pandas(table, format) if format.startswith("pandas") else _to_polars(table, format)


class _Parts:
    """A file for Arrow to write to that keeps the buffers it is given instead of copying them."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[Buffer] = []

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.parts.append(view)
        return view.nbytes

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def _stream(value: pa.Table | pa.RecordBatch) -> list[Buffer]:
    sink = _Parts()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), value.schema) as writer:
        writer.write(value)
    return sink.parts


def _library(format: str, name: str) -> Any:
    return getattr(sys.modules.get(format.partition("-")[0]), name, None)


def _from_pandas(value: Any) -> pa.Table | None:
    import pandas as pd

    if not _plain(pd, value) or not _exact_columns(pd, _frame(value)):
        return None
    # Of its own: Arrow gives a slice of a table a range of its own for an index.
    head = value.iloc[:_HEAD]
    back = _to_pandas(_pandas_table(head), kind(value) or "")
    testing = pd.testing
    compare = testing.assert_frame_equal if value.ndim == 2 else testing.assert_series_equal
    try:
        compare(head, back, check_exact=True, check_index_type="exact")
    except AssertionError:
        return None
    # 1 and True are equal, but not the same.
    same = list(map(type, _labels(head))) == list(map(type, _labels(back)))
    return _pandas_table(value) if same else None


def _pandas_table(value: Any) -> pa.Table:
    table = pa.Table.from_pandas(_frame(value))
    if value.ndim == 1 and value.name is None:
        return table.replace_schema_metadata({**table.schema.metadata, _UNNAMED: b"1"})
    return table


def _frame(value: Any) -> Any:
    """A series as a frame of one column; a frame as it is."""
    if value.ndim == 2:
        return value
    return value.to_frame("values") if value.name is None else value.to_frame()


def _labels(value: Any) -> list[Any]:
    """What names the columns and the levels of the index."""
    if value.ndim == 1:
        return [value.name, *value.index.names]
    columns = value.columns
    return [columns, *columns, *columns.names, *value.index.names]


def _plain(pd: Any, value: Any) -> bool:
    """Whether ``value`` has nothing that Arrow's metadata cannot say."""
    if value.ndim == 2 and not isinstance(value.columns, pd.MultiIndex):
        columns = value.columns
        if type(columns) not in (pd.Index, pd.RangeIndex):
            return False
        if columns.inferred_type.startswith("mixed"):
            return False
    return not value.attrs and bool(value.flags.allows_duplicate_labels)


def _exact_columns(pd: Any, frame: Any) -> bool:
    levels = [frame.index.get_level_values(n) for n in range(frame.index.nlevels)]
    return all(_exact(pd, level) for level in levels) and all(
        _exact(pd, column) for _, column in frame.items()
    )


def _exact(pd: Any, column: Any) -> bool:
    """Whether Arrow gives every value of a column back as it is, without a copy of plain numbers."""
    dtype = column.dtype
    if isinstance(column, pd.RangeIndex):
        return True
    if isinstance(dtype, np.dtype) and dtype.hasobject:
        return set(map(type, column)) <= {str, type(None)}
    if isinstance(dtype, pd.CategoricalDtype):
        # A stream without a batch has no dictionary either, so the categories would be lost.
        return len(column) > 0 and _exact(pd, dtype.categories)
    if isinstance(dtype, pd.StringDtype | pd.ArrowDtype | pd.DatetimeTZDtype):
        return True
    if type(dtype).__module__.startswith("pandas"):
        return str(dtype).lower().strip("u") in _MASKED
    return dtype.kind in "biufMm" and dtype.isnative and column.to_numpy().flags.c_contiguous


_MASKED = {"boolean", "int8", "int16", "int32", "int64", "float32", "float64"}


def _to_pandas(table: pa.Table, format: str) -> Any:
    frame = _with_objects(table, table.to_pandas())
    if format == "pandas":
        return frame
    series = frame.iloc[:, 0]
    if _UNNAMED in (table.schema.metadata or {}):
        series.name = None
    return series


def _with_objects(table: pa.Table, frame: Any) -> Any:
    """``frame`` with columns of text as Python objects where they were, which Arrow does not do."""
    described = table.schema.pandas_metadata["columns"]  # those of the index come last
    for n, dtype in enumerate(frame.dtypes):
        if described[n]["numpy_type"] == "object" and str(dtype) == "str":
            texts = table.column(n).to_pylist()
            frame.isetitem(n, type(frame.iloc[:, n])(texts, index=frame.index, dtype=object))
    return frame


def _from_polars(value: Any) -> pa.Table | None:
    import polars as pl

    frame = value.to_frame() if isinstance(value, pl.Series) else value
    table = frame.to_arrow(compat_level=pl.CompatLevel.newest())
    back = _to_polars(table.slice(0, _HEAD), "polars")
    same = back.schema == frame.schema and back.equals(frame.head(_HEAD))
    return table if same and frame.width else None


def _to_polars(table: pa.Table, format: str) -> Any:
    import polars as pl

    frame: Any = pl.from_arrow(table, rechunk=False)
    return frame if format == "polars" else frame.to_series(0)
