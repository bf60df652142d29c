"""Reading a storage root without Ray and without the engine: what the follower and tools use.

Nothing here unpickles anything.
"""

from __future__ import annotations

from dataclasses import replace

from rayflow.core.records import Record, WorkflowStatus
from rayflow.storage.index import Index, IndexEntry
from rayflow.storage.journal import Journal, Page, Position
from rayflow.storage.root import open_store
from rayflow.storage.store import Store

__all__ = ["IndexEntry", "Page", "Record", "Root", "open_root"]


class Root:
    """A storage root, read-only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self) -> list[IndexEntry]:
        """All workflows. RUNNING and PENDING ones whose owner is gone are RESUMABLE.

        Raises:
            JournalCorruptError: the index is damaged.
        """
        index = Index(self._store)
        entries = index.read().values()
        owner = index.owner()
        if owner is not None and owner.is_fresh:
            return list(entries)
        return [_orphaned(entry) for entry in entries]

    def records(self, workflow_id: str, position: str | None, limit: int = 10_000) -> Page:
        """The records behind ``position`` (nothing: from the start), about ``limit`` of them.

        Raises:
            JournalCorruptError: the journal is damaged.
        """
        return Journal(self._store, workflow_id).read(Position.parse(position), limit)


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
