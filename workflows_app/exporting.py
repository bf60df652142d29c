"""Tables as CSV, NDJSON and Parquet, made batch by batch, so that any number of rows needs little memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet

Kind = Literal["text", "integer", "boolean", "time", "json"]
Row = Mapping[str, Any]

# A spreadsheet takes a cell that begins with one of these for a formula, and runs it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0")
_ARROW: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "json": pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export."""

    name: str
    kind: Kind = "text"


class Writer(Protocol):
    """Turns rows into bytes: a head, a part for each batch, an end."""

    def head(self) -> bytes: ...

    def rows(self, rows: Sequence[Row]) -> bytes: ...

    def end(self) -> bytes: ...


class CsvWriter:
    """RFC 4180, UTF-8, a line of names first. No text of a cell is a formula."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        return self._lines([[column.name for column in self._columns]])

    def rows(self, rows: Sequence[Row]) -> bytes:
        return self._lines([self._cell(row, column) for column in self._columns] for row in rows)

    def end(self) -> bytes:
        return b""

    def _cell(self, row: Row, column: Column) -> Any:
        value = plain(row[column.name], column.kind)
        if isinstance(value, str) and column.kind in ("text", "json"):
            return f"'{value}" if value.startswith(_FORMULA) else value
        return value

    def _lines(self, lines: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        return text.getvalue().encode("utf-8", "replace")


class NdjsonWriter:
    """One JSON object a line."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def head(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Row]) -> bytes:
        return "".join(f"{self._line(row)}\n" for row in rows).encode("utf-8", "replace")

    def end(self) -> bytes:
        return b""

    def _line(self, row: Row) -> str:
        cells = {
            column.name: row[column.name]
            if column.kind == "json"
            else plain(row[column.name], column.kind)
            for column in self._columns
        }
        return json.dumps(cells, ensure_ascii=False, separators=(",", ":"))


class ParquetWriter:
    """Apache Parquet: a row group for each batch; times in UTC, documents as JSON text."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = pa.schema([(c.name, _ARROW[c.kind]) for c in columns])
        self._sink = _Sink()
        self._writer = pyarrow.parquet.ParquetWriter(self._sink, self._schema)

    def head(self) -> bytes:
        return self._sink.take()

    def rows(self, rows: Sequence[Row]) -> bytes:
        arrays = [self._array(rows, column) for column in self._columns]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return self._sink.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.take()

    def _array(self, rows: Sequence[Row], column: Column) -> pa.Array:
        kind = "text" if column.kind == "time" else column.kind
        values = (row[column.name] for row in rows)
        cells = [v if column.kind == "time" else plain(v, kind) for v in values]
        return pa.array(cells, _ARROW[column.kind])


class _Sink(io.RawIOBase):
    """Where a Parquet file is written to; what has been taken is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file."""

    content_type: str
    make: Callable[[Sequence[Column]], Writer]


FORMATS = {
    "csv": Format("text/csv; charset=utf-8", CsvWriter),
    "ndjson": Format("application/x-ndjson", NdjsonWriter),
    "parquet": Format("application/vnd.apache.parquet", ParquetWriter),
}


def parts(
    name: str, columns: Sequence[Column], batches: Iterable[Sequence[Row]]
) -> Iterator[bytes]:
    """The bytes of a file of the format ``name``."""
    writer = FORMATS[name].make(columns)
    yield writer.head()
    for batch in batches:
        yield writer.rows(batch)
    yield writer.end()


def plain(value: Any, kind: Kind) -> Any:
    """A cell as it is written in text: times in RFC 3339 with Z, documents as JSON."""
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if kind == "time" and isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value
