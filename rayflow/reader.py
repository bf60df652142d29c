"""Reading a storage root without Ray and without the engine: what the follower and tools use.

Nothing here unpickles anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rayflow.core.graph import StoredValue
from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.errors import DataLoadError, KeyNotFoundError
from rayflow.storage import layout
from rayflow.storage.index import IndexEntry
from rayflow.storage.journal import Journal, Page, Position
from rayflow.storage.logs import LogFile
from rayflow.storage.partition import read_entries
from rayflow.storage.root import open_store
from rayflow.storage.store import Store

__all__ = ["IndexEntry", "Page", "RawValue", "Record", "Root", "open_root"]

PART_BYTES = 1 << 20


class Root:
    """A storage root, read-only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self) -> list[IndexEntry]:
        """All workflows. RUNNING and PENDING ones whose owner is gone are RESUMABLE.

        Raises:
            JournalCorruptError: the index is damaged.
        """
        found: list[IndexEntry] = []
        for owner, entries in read_entries(self._store):
            is_owned = owner is not None and owner.is_fresh
            found += entries if is_owned else map(_orphaned, entries)
        return found

    def records(self, workflow_id: str, position: str | None, limit: int = 10_000) -> Page:
        """The records behind ``position`` (nothing: from the start), about ``limit`` of them.

        Raises:
            JournalCorruptError: the journal is damaged.
        """
        return Journal(self._store, workflow_id).read(Position.parse(position), limit)

    def log(self, workflow_id: str, task_id: str, attempt: int) -> LogFile:
        """What an attempt has printed."""
        return LogFile(self._store, workflow_id, task_id, attempt)

    def usage(self, workflow_id: str) -> tuple[int, int]:
        """How many files a workflow has in the storage, and how many bytes are in them."""
        files = size = 0
        folders = [layout.workflow(workflow_id)]
        while folders:
            folder = folders.pop()
            for name, kind in self._store.list(folder):
                key = f"{folder}/{name}"
                if kind == "folder":
                    folders.append(key)
                elif (length := self._store.size(key)) is not None:
                    files, size = files + 1, size + length
        return files, size

    def value(self, workflow_id: str, task_id: str) -> RawValue:
        """The stored bytes of a task's value, which are never decoded here.

        Raises:
            KeyError: the task has no value, or it was not to be stored.
            JournalCorruptError: the journal is damaged.
        """
        found: tuple[dict[str, Any], bytes | None] | None = None
        position: str | None = None
        more = True
        while more:
            page = self.records(workflow_id, position)
            for record in page.records:
                if record.kind == Kind.SUCCEEDED and record.task_id == task_id:
                    found = record.data["value"] and (record.data["value"], record.value)
            position, more = page.position, page.more
        if not found:
            raise KeyError(task_id)
        return RawValue(self._store, StoredValue.from_record(*found))


class RawValue:
    """A value as it is stored.

    Attributes:
        format: how its bytes are to be read, see ``docs/journal-format.md``.
        size: how many there are.
    """

    def __init__(self, store: Store, stored: StoredValue) -> None:
        self._store, self._stored = store, stored
        self.format, self.size = stored.format, stored.size

    def parts(self) -> Iterator[bytes]:
        """The bytes, piece by piece.

        Raises:
            DataLoadError: some are missing, or others than those that were written.
        """
        crc = size = 0
        for part in self._read():
            crc, size = zlib.crc32(part, crc), size + len(part)
            yield part
        if (size, crc) != (self._stored.size, self._stored.crc):
            raise DataLoadError(f"The value '{self._stored.key or 'inline'}' is damaged.")

    def _read(self) -> Iterator[bytes]:
        if self._stored.key is None:
            yield self._stored.data or b""
            return
        for offset in range(0, self.size, PART_BYTES):
            try:
                yield self._store.read_part(self._stored.key, offset, PART_BYTES)
            except KeyError:
                raise KeyNotFoundError(f"The value '{self._stored.key}' is missing.") from None


def open_root(storage: str) -> Root:
    """Open the root at a path or URI.

    Raises:
        StorageError: nothing can be opened there.
    """
    return Root(open_store(storage))


def _orphaned(entry: IndexEntry) -> IndexEntry:
    if not WorkflowStatus(entry.status).is_live:
        return entry
    return replace(entry, status=WorkflowStatus.RESUMABLE, was=entry.status)
