"""Appends to many files by one write to the disk, and machines that lose their power."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayflow.errors import DataSaveError, FencedError, JournalCorruptError
from rayflow.storage import redo
from rayflow.storage.local import LocalStore
from rayflow.storage.log import EpochLog, Frame
from tests.waiting import until

KEYS = [f"workflows/{n % 2}/{n}/journal/1" for n in range(6)]


def owned(root: Path) -> LocalStore:
    store = LocalStore(str(root))
    store.own()
    return store


def contents(root: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    return {key: data for key, data in found.items() if not key.startswith("redo/")}


def lose(root: Path, chance: random.Random) -> None:
    """Of what was not waited for, any part may be missing after a power failure."""
    for path in sorted((root / "workflows").rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        cut = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                path.write_bytes(data[:cut])
            case 1:
                path.write_bytes(data[:cut] + bytes(len(data) - cut))
            case 2:
                path.write_bytes(bytes(cut) + data[cut:])
            case _:
                path.unlink()
    if chance.random() < 0.3:
        shutil.rmtree(root / "workflows", ignore_errors=True)


def append(store: LocalStore, **data: bytes) -> None:
    """Make files in one group."""
    with store.together() as group:
        for key, value in data.items():
            group.append(key, 0, value)


def append_some(store: LocalStore, sizes: dict[str, int], chance: random.Random) -> None:
    with store.together() as group:
        for key in chance.sample(KEYS, chance.randint(2, len(KEYS))):
            data = chance.randbytes(chance.randint(1, 300))
            group.append(key, sizes.get(key, 0), data)
            sizes[key] = sizes.get(key, 0) + len(data)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_a_power_failure_takes_is_there_again(tmp_path: Path, seed: int) -> None:
    chance, sizes = random.Random(seed), dict[str, int]()
    store = owned(tmp_path)
    for _ in range(chance.randint(1, 12)):
        append_some(store, sizes, chance)
        if chance.random() < 0.2:
            gone = chance.choice(KEYS)
            store.delete(gone.removesuffix("/journal/1"))
            sizes.pop(gone, None)
    before = contents(tmp_path)
    lose(tmp_path, chance)
    owned(tmp_path)
    assert contents(tmp_path) == before
    assert len(list((tmp_path / "redo").iterdir())) == 1  # the rest is not needed any more


def test_a_crash_of_the_process_loses_nothing_and_nothing_is_written_twice(tmp_path: Path) -> None:
    append_some(owned(tmp_path), {}, random.Random(1))
    before = contents(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "workflows").rglob("1")}
    owned(tmp_path)
    assert contents(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_what_was_deleted_does_not_come_back_and_may_be_made_anew(tmp_path: Path) -> None:
    store = owned(tmp_path)
    for text in (b"old and long", b"new"):
        store.delete("workflows/0/0")
        with store.together() as group:
            group.append("workflows/0/0/journal/1", 0, text)
            group.append(f"workflows/0/{len(text)}/journal/1", 0, text)
    store.delete("workflows/0/3")
    owned(tmp_path)
    assert contents(tmp_path) == {
        "workflows/0/0/journal/1": b"new",
        "workflows/0/12/journal/1": b"old and long",
    }


def test_an_owner_that_was_overtaken_is_told_so(tmp_path: Path) -> None:
    first = owned(tmp_path)
    owned(tmp_path)
    with pytest.raises(FencedError):
        append(first, a=b"1", b=b"2")


def test_a_file_that_goes_on_alone_is_brought_to_disk_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, on_disk = owned(tmp_path), list[str]()
    monkeypatch.setattr(store, "sync_folders", on_disk.append)
    (log,) = (tmp_path / "redo").iterdir()

    def growth(offset: int, data: bytes = b"x") -> int:
        before = log.stat().st_size
        with store.together() as group:
            group.append("f/a", offset, data)
        return log.stat().st_size - before

    grown = [growth(offset) > 0 for offset in range(8)]
    assert grown == [True] * redo.FEW_APPENDS + [False] * (8 - redo.FEW_APPENDS)
    assert on_disk == ["f/a"]
    assert growth(8, bytes(100_000)) == 0
    store.delete("f")  # and what is made in its place is young again
    assert [growth(offset) > 0 for offset in range(2)] == [True, True]
    assert growth(2, bytes(100_000)) == 0
    assert on_disk == ["f/a", "f/a"]


def test_a_group_that_failed_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = owned(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("rayflow.storage.local.sync_data", fail)
        with pytest.raises(DataSaveError):
            append(store, a=b"first try", b=b"b")
    append(store, a=b"second")
    with store.together() as group:
        group.append("a", 6, b"!")
    assert store.read("a") == b"second!"
    (tmp_path / "a").unlink()
    assert owned(tmp_path).read("a") == b"second!"


def test_what_cannot_be_appended_leaves_the_rest_of_its_group(tmp_path: Path) -> None:
    store = owned(tmp_path)
    with store.together() as group:
        group.append("a", 0, b"a")
        with pytest.raises(FileExistsError):
            group.append("a", 0, b"again")
        with pytest.raises(KeyError):
            group.append("missing", 5, b"more")
        with pytest.raises(DataSaveError):
            group.append("a", 50, b"behind a gap")
        group.append("b", 0, b"b")
    assert contents(tmp_path) == {"a": b"a", "b": b"b"}


def test_a_long_log_is_ended_when_the_files_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo, "MOST_BYTES", 2_000)
    store, sizes, chance = owned(tmp_path), dict[str, int](), random.Random(3)
    for _ in range(30):
        append_some(store, sizes, chance)
    logs = tmp_path / "redo"
    until(lambda: len(list(logs.iterdir())) == 1)
    assert max(int(path.stem) for path in logs.iterdir()) > 3
    before = contents(tmp_path)
    owned(tmp_path)
    assert contents(tmp_path) == before


def test_a_damaged_log_is_not_passed_over(tmp_path: Path) -> None:
    store = owned(tmp_path)
    for n in range(3):
        append(store, **{f"a{n}": b"x" * 100, f"b{n}": b"x" * 100})
    (log,) = (tmp_path / "redo").iterdir()
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 0xFF
    log.write_bytes(data)
    with pytest.raises(JournalCorruptError, match=f"redo/{log.name}.*move it out"):
        owned(tmp_path)
    log.unlink()
    before = contents(tmp_path)
    owned(tmp_path)
    assert contents(tmp_path) == before


def test_a_store_that_nobody_owns_brings_each_append_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("rayflow.storage.local.sync_data", synced.append)
    append(LocalStore(str(tmp_path)), a=b"1", b=b"1")
    assert len(synced) == 2
    assert contents(tmp_path) == {"a": b"1", "b": b"1"}
    assert not (tmp_path / "redo").exists()


def test_what_was_deleted_while_a_long_log_was_ended_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redo, "MOST_BYTES", 2_000)
    store = owned(tmp_path)
    monkeypatch.setattr(store, "sync", lambda: threading.Event().wait(600))  # it takes too long
    store_some = {f"f{n}": b"x" * 300 for n in range(10)}
    append(store, **store_some)  # from now on there are two logs
    store.delete("f3")
    append(store, f11=b"y", f12=b"y")
    assert len(list((tmp_path / "redo").iterdir())) == 2
    before = contents(tmp_path)
    owned(tmp_path)
    assert contents(tmp_path) == before
    assert "f3" not in before


def test_a_log_that_its_owner_ends_meanwhile_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(owned(tmp_path), a=b"1", b=b"2")
    before, read = contents(tmp_path), EpochLog.read

    def gone(self: EpochLog, epoch: int) -> Iterator[Frame]:
        (tmp_path / "redo" / f"{epoch:06d}.arrows").unlink()
        return read(self, epoch)

    monkeypatch.setattr(EpochLog, "read", gone)
    owned(tmp_path)
    assert contents(tmp_path) == before
