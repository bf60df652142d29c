"""Commits of several workflows in one group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayflow.core.records import Fact, Kind, Record
from rayflow.errors import DataSaveError, FencedError
from rayflow.runtime.commits import Commits
from rayflow.storage import layout
from rayflow.storage.index import Index, IndexEntry
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store
from rayflow.storage.store import Store
from rayflow.testing.memory_store import MemoryStore


class Root:
    """An owned root, and how many jobs of storage I/O there were."""

    def __init__(self, store: Store) -> None:
        self.store, self.jobs = store, 0
        store.own()
        self.index = Index(store)
        self.index.take_over(None)
        self.commits = Commits(store, self.index, self._io)

    async def _io(self, work: Callable[[], Any]) -> Any:
        self.jobs += 1
        return await asyncio.to_thread(work)

    async def create(self, name: str, *, is_indexed: bool = True) -> Exception | None:
        entry = IndexEntry(name, "RUNNING", 1.0, 1.0) if is_indexed else None
        writer = Journal(self.store, name).create()
        return await self.commits.records(writer, [record(1)], entry)


def record(seq: int) -> Record:
    return Fact(Kind.CANCEL_REQUESTED).at(seq, 1.0)


@pytest.fixture(params=["local", "memory", "objects"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    if request.param == "local":
        return Root(open_store(str(tmp_path)))
    return Root(MemoryStore(appends=request.param == "memory"))


async def test_what_arrives_during_a_commit_goes_into_the_next_one(root: Root) -> None:
    await asyncio.gather(*(root.create(f"w{n}") for n in range(50)))
    entries = Index(root.store).read()
    assert len(entries) == 50
    assert all(Journal(root.store, name).load() == [record(1)] for name in entries)
    if root.store.appends:
        assert root.jobs <= 3


async def test_an_error_of_one_workflow_is_not_that_of_others(root: Root) -> None:
    await root.create("known")
    results = await asyncio.gather(
        *(root.create(name) for name in ("a", "known", "b")), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), FileExistsError, type(None)]
    assert set(Index(root.store).read()) == {"known", "a", "b"}


async def test_an_entry_that_cannot_be_written_leaves_the_records(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> Any:
        raise DataSaveError("the index is broken")

    monkeypatch.setattr(root.index, "put", refuse)
    trouble = await root.create("a")
    assert isinstance(trouble, DataSaveError)
    assert Journal(root.store, "a").load() == [record(1)]
    with pytest.raises(DataSaveError):
        await root.commits.entry(IndexEntry("a", "RUNNING", 1.0, 1.0))
    assert await root.create("b", is_indexed=False) is None


async def test_a_writer_that_was_overtaken_is_told_so_alone(root: Root) -> None:
    writer = Journal(root.store, "a").create()
    await root.commits.records(writer, [record(1)])
    Journal(root.store, "a").claim(2.0)
    first, second = await asyncio.gather(
        root.commits.records(writer, [record(2)]), root.create("b"), return_exceptions=True
    )
    assert isinstance(first, FencedError)
    assert second is None


async def test_nobody_is_left_waiting_when_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Root(open_store(str(tmp_path)))

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("rayflow.storage.local.sync_data", fail)
        results = await asyncio.gather(
            *(root.create(f"w{n}") for n in range(3)), return_exceptions=True
        )
    assert [type(result) for result in results] == [DataSaveError] * 3
    # The journal may hold what nobody was promised; the index has nothing of it.
    assert Index(root.store).read().keys() <= {"w0", "w1", "w2"}
    root.store.delete(layout.journal("w0"))
    assert await root.create("w0") is None
    assert "w0" in Index(root.store).read()


async def test_who_stops_waiting_takes_nobody_along(root: Root) -> None:
    first = asyncio.ensure_future(root.create("a"))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(root.create("b"))
    first.cancel()
    assert await second is None
    assert "b" in Index(root.store).read()
