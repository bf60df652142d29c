"""Claiming a journal that was replayed before: nothing is read twice, and nothing is missed."""

from __future__ import annotations

import pytest

from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.state import fold
from rayflow.runtime.intake import status_fact
from rayflow.storage import layout
from rayflow.storage.journal import Journal, JournalWriter
from rayflow.testing.memory_store import MemoryStore
from tests.storage.test_journal import ID, both_layouts

STATUSES = (WorkflowStatus.PENDING, WorkflowStatus.RUNNING)


def note(writer: JournalWriter, number: int = 1) -> None:
    """Commit ``number`` records, one after the other."""
    for _ in range(number):
        fact = status_fact(STATUSES[writer.last_seq % 2])
        writer.commit([fact.at(writer.last_seq + 1, 1.0)])


def written(store: MemoryStore) -> JournalWriter:
    writer = Journal(store, ID).create()
    note(writer, 3)
    return writer


def kinds(store: MemoryStore) -> list[str]:
    return [record.kind for record in Journal(store, ID).load()]


@both_layouts
@pytest.mark.parametrize("claims", [0, 1, 2])
def test_a_claim_goes_on_where_the_journal_was_replayed_to(appends: bool, claims: int) -> None:
    store = MemoryStore(appends=appends)
    owner: JournalWriter | None = written(store)
    for _ in range(claims):
        owner = Journal(store, ID).claim(5.0)
    journal = Journal(store, ID)
    state = journal.replay()
    seen: list[Record] = []
    apply = state.apply
    state.apply = lambda record: (seen.append(record), apply(record))  # type: ignore[assignment, func-returns-value]
    # When its owner has gone on since
    assert owner is not None
    note(owner, 2)
    assert journal.claim(6.0, state) is not None
    # Then nothing is read twice, and nothing is missed
    assert [record.kind for record in seen] == [Kind.STATUS, Kind.STATUS, Kind.SEALED]
    records = Journal(store, ID).load()
    assert seen == records[-3:]
    assert (state.last_seq, state.status) == (records[-1].seq, fold(records).status)


@both_layouts
def test_what_somebody_else_has_claimed_since_is_not_claimed_but_replayed_anew(
    appends: bool,
) -> None:
    store = MemoryStore(appends=appends)
    written(store)
    journal = Journal(store, ID)
    state = journal.replay()
    # When the next owner has read less, since the last batch came later
    torn = MemoryStore(appends=appends)
    torn.content = dict(store.content)
    take_last_batch(torn)
    Journal(torn, ID).claim(5.0)
    store.content = {**store.content, **{k: v for k, v in torn.content.items() if "/000002" in k}}
    before = kinds(store)
    assert journal.claim(6.0, state) is None
    assert kinds(store) == before == [Kind.STATUS, Kind.STATUS, Kind.SEALED]
    assert journal.claim(6.0, journal.replay()) is not None
    assert kinds(store) == [*before, Kind.SEALED]


def take_last_batch(store: MemoryStore) -> None:
    """Have the last batch torn, or its object missing."""
    key = max(k for k in store.content if k.startswith(layout.journal(ID)))
    if store.appends:
        store.content[key] = store.content[key][:-5]
    else:
        del store.content[key]
