"""Several engines on one root: every workflow has one of them, also while their number changes."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from rayflow.core.records import WorkflowStatus
from rayflow.errors import FencedError
from rayflow.reader import Root
from rayflow.storage import layout
from rayflow.storage.index import Index, IndexEntry, Owner
from rayflow.storage.local import LocalStore
from rayflow.storage.partition import (
    count_of,
    engine_of,
    partitions,
    read_entries,
    repartition,
    rewrite,
)
from rayflow.storage.store import Store
from rayflow.testing.crash_store import CrashStore, Moment, StoreStopped
from rayflow.testing.memory_store import MemoryStore
from rayflow.verifying import rebuild_index, verify

IDS = [f"w{number}" for number in range(40)]
both_layouts = pytest.mark.parametrize("appends", [True, False], ids=["one file", "objects"])


def entry(workflow_id: str, status: str = "SUCCESSFUL") -> IndexEntry:
    return IndexEntry(workflow_id, status, 1.0, 2.0)


def own_all(store: Store) -> list[Index]:
    """An engine for every part of a root takes it over; returns their indexes."""
    indexes = []
    for part in partitions(count_of(store)):
        index = Index(store, part.number)
        index.take_over(WorkflowStatus.RESUMABLE, None, part.has)
        indexes.append(index)
    return indexes


def listed(store: Store) -> list[str]:
    """The ids that a reader finds, each as often as it does."""
    return sorted(found.workflow_id for found in Root(store).entries())


def root_of(appends: bool) -> MemoryStore:
    store = MemoryStore(appends=appends)
    own_all(store)[0].append(map(entry, IDS))
    return store


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_a_hash_gives_every_workflow_one_engine_and_every_engine_about_as_many(count: int) -> None:
    ids = [f"workflow {number}" for number in range(6400)]
    shares = [sum(map(part.has, ids)) for part in partitions(count)]
    assert sum(shares) == len(ids)
    assert all(0.5 < share * count / len(ids) < 1.5 for share in shares)
    assert all(engine_of(i, count) == engine_of(i, count) < count for i in ids[:100])


@both_layouts
@pytest.mark.parametrize("counts", [(2,), (4, 2), (2, 4), (3, 1), (1, 5, 2, 1, 3)], ids=str)
def test_the_number_of_engines_may_change_and_nothing_is_lost(
    appends: bool, counts: tuple[int, ...]
) -> None:
    store, ids = root_of(appends), list(IDS)
    for turn, count in enumerate(counts):
        repartition(store, count)
        assert (count_of(store), listed(store)) == (count, sorted(ids))
        new = f"new {turn}"
        own_all(store)[engine_of(new, count)].append([entry(new)])
        ids.append(new)
        assert listed(store) == sorted(ids)
        parts = [{e.workflow_id for e in entries} for _, entries in read_entries(store)]
        assert all(set(filter(part.has, ids)) == parts[part.number] for part in partitions(count))


@both_layouts
@pytest.mark.parametrize("before", [1, 3])
def test_workflows_made_later_begin_with_later_epochs_wherever_they_are(
    appends: bool, before: int
) -> None:
    store = root_of(appends)
    if before > 1:
        repartition(store, before)
    for _ in range(3):
        last = max(index.first_epoch for index in own_all(store))
    for count in (4, 1, 2):
        repartition(store, count)
        epochs = [index.first_epoch for index in own_all(store)]
        assert min(epochs) > last
        last = max(epochs)


@both_layouts
@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("counts", [(1, 3), (3, 2), (3, 1)], ids=str)
def test_a_crash_in_every_step_of_a_change_loses_no_workflow_and_doubles_none(
    appends: bool, moment: Moment, counts: tuple[int, int]
) -> None:
    for step in itertools.count():
        store = root_of(appends)
        repartition(store, counts[0])
        own_all(store)
        crashing = CrashStore(store, stop_at=step, moment=moment)
        try:
            repartition(crashing, counts[1])
        except StoreStopped:
            assert listed(store) == sorted(IDS)
            own_all(store)  # whoever comes next may want any number of engines
            assert listed(store) == sorted(IDS)
            repartition(store, counts[1])
            own_all(store)
            assert listed(store) == sorted(IDS)
            continue
        assert step > 5, "it has hardly done anything"
        return


@both_layouts
def test_engines_of_before_are_fenced_and_change_nothing(appends: bool) -> None:
    store = root_of(appends)
    repartition(store, 3)
    old = own_all(store)
    repartition(store, 2)
    own_all(store)
    for index in old:
        with pytest.raises(FencedError):
            index.require_owned()
        with pytest.raises(FencedError):
            index.append([entry(IDS[0], "FAILED")])
    assert {found.status for found in Root(store).entries()} == {"SUCCESSFUL"}


@both_layouts
def test_what_was_live_is_resumable_after_the_change(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    own_all(store)[0].append([entry("a", "RUNNING"), entry("b", "PENDING")])
    repartition(store, 2)
    own_all(store)
    assert {(e.status, e.was) for _, some in read_entries(store) for e in some} == {
        ("RESUMABLE", "RUNNING"),
        ("RESUMABLE", "PENDING"),
    }


@both_layouts
def test_readers_ask_each_part_whether_its_owner_lives(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    repartition(store, 2)
    ids = {engine_of(i, 2): i for i in IDS}
    indexes = own_all(store)
    for number, index in enumerate(indexes):
        index.append([entry(ids[number], "RUNNING")])
    indexes[1].beat(Owner("i", "here:1", 4e9))
    assert {e.workflow_id: e.status for e in Root(store).entries()} == {
        ids[0]: "RESUMABLE",
        ids[1]: "RUNNING",
    }


@both_layouts
def test_an_index_that_is_made_anew_has_its_parts(appends: bool) -> None:
    store = root_of(appends)
    repartition(store, 3)
    own_all(store)
    rewrite(store, {i: entry(i, "FAILED") for i in IDS[:10]})
    assert listed(store) == sorted(IDS[:10])
    parts = [entries for _, entries in read_entries(store)]
    assert [len(entries) for entries in parts] == [sum(map(p.has, IDS[:10])) for p in partitions(3)]
    assert rebuild_index(store) == 0  # none of them has a journal
    assert list(verify(store)) == []


def test_what_a_power_failure_took_is_there_again_before_the_parts_are_read(tmp_path: Path) -> None:
    """Each engine has a redo log; whoever changes their number reads all of them first."""
    store = LocalStore(str(tmp_path))
    repartition(store, 3)
    for part in partitions(3):
        engine = LocalStore(str(tmp_path))
        engine.own(part.number)
        index = Index(engine, part.number)
        index.take_over(None, None, part.has)
        with engine.together() as group:  # two files at once: the log alone is on disk
            settle = index.put([entry(i) for i in IDS if part.has(i)], group)
            group.append(f"other/{part.number}", 0, b"x")
        settle()
        [name] = [name for name, _ in store.list(layout.of_engine(layout.INDEX, part.number))]
        key = f"{layout.of_engine(layout.INDEX, part.number)}/{name}"
        size = store.size(key)
        assert size is not None
        with (tmp_path / key).open("r+b") as file:
            file.truncate(size - 100)
    assert listed(store) == []
    repartition(store, 2)
    assert listed(store) == sorted(IDS)
    assert {(tmp_path / "other" / str(number)).read_bytes() for number in range(3)} == {b"x"}
