"""Relays: where workers make outcomes durable, for the engine to write them into the journal.

A relay is a file beside the journal, ``relays/<epoch>/<number>.ndjson``; only one worker writes it. Each line
is a record: the CRC-32 of the rest (eight hexadecimal digits), a space, and the record as a JSON array. A line
that cannot be read was not committed if nothing readable follows. (Arrow, as in the journal, takes ten times as
long for one record, and here each is written by itself.)

What a relay holds counts for as long as the workflow belongs to the owner of that epoch: a worker looks
after each write whether the next epoch exists, and a new owner claims first and reads afterwards, so whatever
a worker has relied on is seen. Only stores that append have relays.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence

from rayflow.core.records import Record
from rayflow.errors import FencedError, JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.log import EpochLog
from rayflow.storage.records import SCHEMA
from rayflow.storage.store import Store

_FILE = re.compile(r"(\d+)\.ndjson")


class Relay:
    """The relay ``number`` of a workflow, in the hands of the worker that writes it."""

    def __init__(self, store: Store, workflow_id: str, epoch: int, number: int) -> None:
        self._store = store
        self._journal = EpochLog(store, layout.journal(workflow_id), SCHEMA)
        self._key = layout.relay(workflow_id, epoch, number)
        self._workflow_id, self._epoch = workflow_id, epoch
        self._end = 0

    def put(self, records: Sequence[Record]) -> None:
        """Make outcomes durable.

        Raises:
            FencedError: another engine owns the workflow now; they do not count.
            FileExistsError: the relay exists.
            DataSaveError, DataLoadError: the storage failed; they may count or not.
        """
        lines = b"".join(map(_line, records))
        self._store.append(self._key, self._end, lines)
        self._end += len(lines)
        if self._journal.is_over(self._epoch):
            raise FencedError(f"Epoch {self._epoch} of workflow '{self._workflow_id}' is over.")


def relayed(store: Store, workflow_id: str, epoch: int, number: int | None = None) -> list[Record]:
    """What workers have made durable for the owner of ``epoch``, in one relay or in all of them.

    Raises:
        JournalCorruptError: a relay is damaged.
        DataLoadError: the storage failed.
    """
    if number is None:
        files = (_FILE.fullmatch(name) for name, _ in store.list(layout.relays(workflow_id, epoch)))
        numbers = sorted(int(file[1]) for file in files if file)
    else:
        numbers = [number]
    return [r for n in numbers for r in _read(store, layout.relay(workflow_id, epoch, n))]


def _read(store: Store, key: str) -> list[Record]:
    try:
        lines = store.read(key).splitlines()
    except KeyError:
        return []
    found = [_record(line) for line in lines]
    while found and found[-1] is None:
        found.pop()
    records = [record for record in found if record is not None]
    if len(records) < len(found):
        raise JournalCorruptError(f"'{key}' of {store.uri} is damaged; restore it from a copy.")
    return records


def _line(record: Record) -> bytes:
    value = None if record.value is None else b64encode(record.value).decode()
    row = [record.seq, record.time, record.kind, record.task_id, record.attempt, record.data, value]
    text = json.dumps(row, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> Record | None:
    """The record in a line; None if it is not whole."""
    if line[:9] != b"%08x " % zlib.crc32(line[9:]):
        return None
    seq, time, kind, task_id, attempt, data, value = json.loads(line[9:])
    inline = None if value is None else b64decode(value)
    return Record(seq, time, kind, task_id, attempt, data, inline)
