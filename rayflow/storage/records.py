"""Records as rows: the schema of journals, and the way there and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from rayflow.core.records import Record
from rayflow.storage.manifest import packed, unpacked

SCHEMA = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("task_id", pa.string()),
        pa.field("attempt", pa.int32()),
        pa.field("data", pa.string(), nullable=False),
        pa.field("value", pa.binary()),
    ],
    metadata={"rayflow.format": "1"},
)

_ROW = pa.struct(list(SCHEMA))
_AT_A_TIME = 1_000
_json = json.JSONEncoder(separators=(",", ":")).encode


def encoded(records: Sequence[Record]) -> pa.RecordBatch:
    """The rows of ``records``; tasks of one mapped list are few rows."""
    rows = [
        (r.seq, round(r.time * 1e6), str(r.kind), r.task_id, r.attempt, _json(r.data), r.value)
        for r in packed(records)
    ]
    # In one call: each array by itself would give up the interpreter, and have to wait for it.
    return pa.RecordBatch.from_struct_array(pa.array(rows, _ROW))


def decoded(batch: pa.RecordBatch, *, after: int = -1) -> list[Record]:
    """The records in ``batch`` whose numbers are above ``after``."""
    return list(decoding(batch, after=after))


def decoding(batch: pa.RecordBatch, *, after: int = -1) -> Iterator[Record]:
    """Like :func:`decoded`, with some of them at a time: a batch may have a hundred thousand."""
    rows = (
        Record(seq, time / 1e6, kind, task_id, attempt, json.loads(data), value)
        for start in range(0, batch.num_rows, _AT_A_TIME)
        for seq, time, kind, task_id, attempt, data, value in _rows(batch.slice(start, _AT_A_TIME))
    )
    return (record for record in unpacked(rows) if record.seq > after)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    columns = batch.columns
    columns[1] = columns[1].view(pa.int64())
    return zip(*(column.to_pylist() for column in columns), strict=True)
