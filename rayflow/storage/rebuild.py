"""The index once more, from the journals: what an engine does when the index is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from rayflow.core.records import Kind, WorkflowStatus
from rayflow.core.state import fold
from rayflow.errors import JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.index import IndexEntry
from rayflow.storage.journal import Journal, first_record
from rayflow.storage.store import Store


def entries_from_journals(store: Store) -> dict[str, IndexEntry]:
    """An entry for every workflow whose journal holds anything; it walks over all of them.

    A workflow whose own journal is damaged is RESUMABLE: to resume it says what is wrong.

    Raises:
        DataLoadError: the storage failed.
    """
    found = (_entry(store, workflow_id) for workflow_id in workflow_ids(store))
    return {entry.workflow_id: entry for entry in found if entry is not None}


def workflow_ids(store: Store) -> Iterator[str]:
    """Every workflow that has a folder; it walks over all of them."""
    for shard, _ in store.list(layout.WORKFLOWS):
        for name, _ in store.list(f"{layout.WORKFLOWS}/{shard}"):
            first = first_record(store, f"{layout.WORKFLOWS}/{shard}/{name}/journal")
            if first is not None and first.kind == Kind.ACCEPTED:
                yield first.data["workflow_id"]
            elif "%%" not in name:  # a long id is a hash there, and stands in the journal only
                yield unquote(name)


def _entry(store: Store, workflow_id: str) -> IndexEntry | None:
    try:
        records = Journal(store, workflow_id).load()
    except JournalCorruptError:
        return IndexEntry(workflow_id, WorkflowStatus.RESUMABLE, 0.0, 0.0)
    if not records:
        return None
    state = fold(records)
    status = WorkflowStatus.RUNNING if state.status is WorkflowStatus.NONE else state.status
    definition, actor = state.accepted.get("definition"), state.accepted.get("actor") or {}
    times = (records[0].time, records[-1].time)
    return IndexEntry(workflow_id, status, *times, definition, actor=actor.get("name"))
