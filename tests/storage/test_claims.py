"""Claiming a journal that was loaded before: nothing is read twice, and nothing is missed."""

from __future__ import annotations

import pytest

from rayflow.core.records import Kind
from rayflow.storage import layout
from rayflow.storage.journal import Journal
from rayflow.testing.memory_store import MemoryStore
from tests.storage.test_journal import ID, both_layouts, record, write


@both_layouts
@pytest.mark.parametrize("claims", [0, 1, 2])
def test_a_claim_goes_on_where_the_journal_was_loaded_to(appends: bool, claims: int) -> None:
    store = MemoryStore(appends=appends)
    writer = write(store, 2, 1)
    for _ in range(claims):
        writer, _ = Journal(store, ID).claim(5.0)
    journal = Journal(store, ID)
    loaded = journal.load()
    seen = list(loaded)
    # When its owner has gone on since
    last = loaded[-1].seq
    writer.commit([record(last + 1), record(last + 2)])
    _, records = journal.claim(6.0)
    # Then nothing is read twice, and nothing is missing
    assert records is loaded
    assert records[: len(seen)] == seen
    assert [r.kind for r in records[len(seen) :]] == [Kind.STARTED, Kind.STARTED, Kind.SEALED]
    assert records == Journal(store, ID).load()


@both_layouts
def test_a_claim_of_what_somebody_else_has_claimed_since_reads_it_anew(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    late = write(store, 2, 1)
    journal = Journal(store, ID)
    late.commit([record(4)])
    loaded = journal.load()
    # When the next owner has read less, since the last batch came later
    torn = MemoryStore(appends=appends)
    torn.content = dict(store.content)
    take_last_batch(torn)
    _, others = Journal(torn, ID).claim(5.0)
    store.content = {**store.content, **{k: v for k, v in torn.content.items() if "/000002" in k}}
    _, records = journal.claim(6.0)
    assert records is not loaded
    assert [r.seq for r in others] == [1, 2, 3, 4]
    assert [r.kind for r in records[3:]] == [Kind.SEALED, Kind.SEALED]
    assert records == Journal(store, ID).load()


def take_last_batch(store: MemoryStore) -> None:
    """Have the last batch torn, or its object missing."""
    key = max(k for k in store.content if k.startswith(layout.journal(ID)))
    if store.appends:
        store.content[key] = store.content[key][:-5]
    else:
        del store.content[key]
