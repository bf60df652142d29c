"""The index: who is listed as what, whatever happens to its owners."""

from __future__ import annotations

import time

import pytest

from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.errors import FencedError, JournalCorruptError
from rayflow.reader import Root
from rayflow.runtime.intake import status_fact
from rayflow.storage import layout
from rayflow.storage.index import DELETED, OWNER_FRESH_SECONDS, Index, IndexEntry, Owner
from rayflow.storage.journal import Journal
from rayflow.storage.rebuild import entries_from_journals
from rayflow.testing.crash_store import CrashStore, Moment, StoreStopped
from rayflow.testing.memory_store import MemoryStore

RESUMABLE = WorkflowStatus.RESUMABLE
both_layouts = pytest.mark.parametrize("appends", [True, False], ids=["one file", "objects"])


def entry(workflow_id: str, status: str = "RUNNING", changed_at: float = 2.0) -> IndexEntry:
    return IndexEntry(workflow_id, status, 1.0, changed_at, "definition")


def owned(store: MemoryStore, *entries: IndexEntry) -> Index:
    index = Index(store)
    index.take_over(None)
    index.append(entries)
    return index


@both_layouts
def test_the_newest_entry_of_each_workflow_counts(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    index = owned(store, entry("a", "PENDING"), entry("b"))
    index.append([entry("a", "RUNNING", 3.0)])
    index.append([entry("a", "SUCCESSFUL", 4.0)])
    assert Index(store).read() == {"a": entry("a", "SUCCESSFUL", 4.0), "b": entry("b")}


@both_layouts
def test_an_actor_stays_one_whoever_owns_the_index(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    owned(store, IndexEntry("a", "RUNNING", 1.0, 2.0, actor="shop.Cart"))
    assert Root(store).entries()[0].actor == "shop.Cart"  # orphaned, so RESUMABLE
    assert Index(store).take_over(RESUMABLE)["a"].actor == "shop.Cart"
    assert Index(store).read()["a"].actor == "shop.Cart"


@both_layouts
def test_a_deleted_workflow_is_gone_and_may_come_back(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    index = owned(store, entry("a"), entry("b"))
    index.append([entry("a", DELETED)])
    assert list(Index(store).read()) == ["b"]
    index.append([entry("a", "PENDING", 9.0)])
    assert Index(store).read()["a"].status == "PENDING"
    index.append([entry("a", DELETED)])
    assert list(Index(store).take_over(None)) == ["b"]


@both_layouts
def test_taking_over_keeps_everything_and_removes_the_old_epoch(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    owned(store, entry("a"), entry("b", "FAILED"))
    entries = Index(store).take_over(None)
    assert entries == {"a": entry("a"), "b": entry("b", "FAILED")} == Index(store).read()
    assert [name[:6] for name, _ in store.list(layout.INDEX)] == ["000002"]


@both_layouts
def test_a_new_cluster_finds_what_was_live_as_resumable(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    owned(store, entry("a", "RUNNING"), entry("b", "PENDING"), entry("c", "SUCCESSFUL"))
    entries = Index(store).take_over(RESUMABLE)
    assert {k: (e.status, e.was) for k, e in entries.items()} == {
        "a": ("RESUMABLE", "RUNNING"),
        "b": ("RESUMABLE", "PENDING"),
        "c": ("SUCCESSFUL", None),
    }
    assert Index(store).take_over(RESUMABLE)["b"].was == "PENDING"


@both_layouts
@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_crash_in_every_step_of_a_take_over_loses_no_entry(
    appends: bool, moment: Moment, step: int
) -> None:
    store = MemoryStore(appends=appends)
    owned(store, entry("a"), entry("b", "FAILED"))
    with pytest.raises(StoreStopped):
        Index(CrashStore(store, stop_at=step, moment=moment)).take_over(None)
    assert Index(store).read() == {"a": entry("a"), "b": entry("b", "FAILED")}
    again = Index(store)
    assert again.take_over(None) == {"a": entry("a"), "b": entry("b", "FAILED")}
    again.append([entry("c")])
    assert sorted(Index(store).read()) == ["a", "b", "c"]


@both_layouts
def test_an_owner_that_was_replaced_is_fenced_and_changes_nothing(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    old = owned(store, entry("a"))
    Index(store).take_over(None)
    with pytest.raises(FencedError):
        old.append([entry("a", "SUCCESSFUL")])
    assert Index(store).read() == {"a": entry("a")}
    assert Index(store).take_over(None) == {"a": entry("a")}


@both_layouts
def test_only_the_owner_of_the_root_may_delete(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    old = owned(store, entry("a"))
    old.require_owned()
    new = owned(store)
    new.require_owned()
    with pytest.raises(FencedError):
        old.require_owned()


def test_a_torn_entry_was_not_written() -> None:
    store = MemoryStore()
    owned(store, entry("a"), entry("b")).append([entry("c")])
    [key] = [key for key in store.content if key.startswith(layout.INDEX)]
    store.content[key] = store.content[key][:-9]
    assert sorted(Index(store).read()) == ["a", "b"]


def test_a_damaged_index_is_not_believed() -> None:
    store = MemoryStore()
    owned(store, entry("a"), entry("b")).append([entry("c")])
    [key] = [key for key in store.content if key.startswith(layout.INDEX)]
    data = bytearray(store.content[key])
    data[len(data) // 2] ^= 1
    store.content[key] = bytes(data)
    with pytest.raises(JournalCorruptError):
        Index(store).read()


def test_a_root_without_an_index_has_no_workflows_and_no_owner() -> None:
    store = MemoryStore()
    assert Index(store).read() == {}
    assert Index(store).owner() is None
    assert Root(store).entries() == []


def test_an_owner_is_fresh_until_it_falls_silent_or_lets_go() -> None:
    now = time.time()
    assert Owner("i", "host:1", now).is_fresh
    assert not Owner("i", "host:1", now, released=True).is_fresh
    assert not Owner("i", "host:1", now - OWNER_FRESH_SECONDS - 1).is_fresh


def test_the_heartbeat_is_read_back() -> None:
    store = MemoryStore()
    owner = Owner("i", "host:1", 12.5)
    Index(store).beat(owner)
    assert Index(store).owner() == owner


def test_a_reader_sees_live_workflows_of_a_silent_owner_as_resumable() -> None:
    store = MemoryStore()
    index = owned(store, entry("a"), entry("b", "FAILED"))
    index.beat(Owner("i", "host:1", time.time()))
    assert [e.status for e in Root(store).entries()] == ["RUNNING", "FAILED"]
    index.beat(Owner("i", "host:1", time.time() - 60))
    assert [(e.status, e.was) for e in Root(store).entries()] == [
        ("RESUMABLE", "RUNNING"),
        ("FAILED", None),
    ]


def accepted(store: MemoryStore, workflow_id: str, status: WorkflowStatus) -> None:
    facts = [
        Fact(Kind.ACCEPTED, data={"workflow_id": workflow_id, "root": "t", "definition": "d"}),
        status_fact(status),
    ]
    Journal(store, workflow_id).create().commit([f.at(n, 2.0) for n, f in enumerate(facts, 1)])


@both_layouts
def test_a_damaged_index_is_rebuilt_from_the_journals(appends: bool) -> None:
    # Given workflows with odd ids, one of them with a damaged journal, and a damaged index
    store = MemoryStore(appends=appends)
    long = "ü" * 400
    statuses = {"a/b": "SUCCESSFUL", long: "RUNNING", "c": "FAILED", "bad": "FAILED"}
    for workflow_id, status in statuses.items():
        accepted(store, workflow_id, WorkflowStatus(status))
    Journal(store, "bad").claim(3.0)
    owned(store, *(entry(workflow_id) for workflow_id in statuses)).append([entry("c")])
    for start in (layout.journal("bad"), layout.INDEX):
        key = min(k for k in store.content if k.startswith(start) and not k.endswith("claim"))
        data = bytearray(store.content[key])
        data[len(data) // 2] ^= 1
        store.content[key] = bytes(data)
    with pytest.raises(JournalCorruptError):
        Index(store).take_over(None)
    # When an engine takes the root over
    entries = Index(store).take_over(RESUMABLE, entries_from_journals)
    # Then everything is listed again, and only the damaged workflow is in doubt
    assert {e.workflow_id: (e.status, e.was) for e in entries.values()} == {
        "a/b": ("SUCCESSFUL", None),
        long: ("RESUMABLE", "RUNNING"),
        "c": ("FAILED", None),
        "bad": ("RESUMABLE", None),
    }
    assert Index(store).read() == entries
    assert (entries["c"].definition, entries["c"].created_at) == ("d", 2.0)


@both_layouts
def test_an_owner_finds_out_that_it_was_replaced_without_writing(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    old = owned(store, entry("a"))
    old.require_owned()
    new = owned(store)
    before = dict(store.content)
    with pytest.raises(FencedError, match="took the index"):
        old.require_owned()
    new.require_owned()
    assert store.content == before
