"""Every store keeps the same promises; the local one survives what a disk can do to it."""

from __future__ import annotations

import logging
import os
import pickle
import resource
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from rayflow.errors import DataLoadError, DataSaveError, StorageError
from rayflow.storage.local import LocalStore
from rayflow.storage.objects import ObjectStore
from rayflow.storage.root import check_writable, open_store
from rayflow.storage.store import Buffer, Store
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.store_tests import StoreTests


class TestLocalStore(StoreTests):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return LocalStore(str(tmp_path / "root"))


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class TestMemoryStoreOfWholeObjects(StoreTests):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(appends=False)


def s3_uri(port: int, path: str) -> str:
    """An S3 protocol server on this machine, as a user would write it."""
    return (
        f"s3://key:secret@{path}?endpoint_override=127.0.0.1:{port}"
        "&scheme=http&region=us-east-1&allow_bucket_creation=true"
    )


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port: int = server.get_host_and_port()[1]
    filesystem, bucket = fs.FileSystem.from_uri(s3_uri(port, "rayflow"))
    filesystem.create_dir(bucket)
    yield port
    server.stop()


class TestObjectStore(StoreTests):
    tells_creators_apart = False  # pyarrow.fs has no create-if-absent; docs/guarantees.md

    @pytest.fixture
    def store(self, s3_port: int, request: pytest.FixtureRequest) -> Store:
        name = request.node.name.replace("_", "-")[:40].strip("-")
        return ObjectStore(s3_uri(s3_port, f"rayflow/{name}"))


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: the closest thing to a full disk that needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_write_that_a_full_disk_stops_leaves_the_old_value_and_no_file(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.write("folder/key", [b"old"])
    with disk_full_after(1000), pytest.raises(DataSaveError, match="folder/key"):
        store.write("folder/key", [b"x" * 5000])
    assert store.read("folder/key") == b"old"
    assert everything_below(tmp_path) == ["folder/key"]


def test_an_append_that_a_full_disk_stops_can_be_repeated(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.append("log", 0, b"committed")
    with disk_full_after(1000), pytest.raises(DataSaveError):
        store.append("log", 9, b"x" * 5000)
    store.append("log", 9, b"y" * 5000)
    assert store.read("log") == b"committed" + b"y" * 5000


def test_an_append_that_is_repeated_and_fails_takes_away_nothing_that_was_there(
    tmp_path: Path,
) -> None:
    store = LocalStore(str(tmp_path))
    store.append("log", 0, b"committed")
    store.append("log", 9, b"x" * 5000)  # whoever wrote it has not heard that it is there
    with disk_full_after(1000), pytest.raises(DataSaveError):
        store.append("log", 9, b"x" * 5000)
    assert store.read("log") == b"committed" + b"x" * 5000


def test_a_first_append_that_a_full_disk_stops_can_be_repeated(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    with disk_full_after(1000), pytest.raises(DataSaveError):
        store.append("folder/log", 0, b"x" * 5000)
    store.append("folder/log", 0, b"y" * 5000)
    assert store.read("folder/log") == b"y" * 5000


def test_leftovers_of_an_interrupted_write_are_never_listed(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.write("folder/key", [b"x"])
    (tmp_path / "folder" / ".tmp-0123456789abcdef").write_bytes(b"half")
    (tmp_path / ".tmp-fedcba9876543210").mkdir()
    assert store.list("folder") == [("key", "file")]
    assert store.list("") == [("folder", "folder")]


def test_old_leftovers_are_swept_and_those_of_a_live_writer_stay(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.write("folder/key", [b"x"])
    old, new = tmp_path / "folder" / ".tmp-old", tmp_path / "folder" / ".tmp-new"
    deleted = tmp_path / ".tmp-deleted"
    (deleted / "journal").mkdir(parents=True)
    for file in (old, new, deleted / "journal" / "000001.arrows"):
        file.write_bytes(b"half")
    for path in (old, deleted):
        os.utime(path, (0, 0))
    assert store.sweep(3600) == 2
    assert everything_below(tmp_path) == ["folder/.tmp-new", "folder/key"]
    assert store.sweep(3600) == 0
    assert MemoryStore().sweep(0) == 0


def test_a_delete_under_way_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(str(tmp_path))
    store.write("workflow/key", [b"x"])
    os.utime(tmp_path / "workflow", (0, 0))
    swept = []
    remove = shutil.rmtree

    def sweep_first(path: Path) -> None:
        swept.append(store.sweep(3600))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", sweep_first)
    store.delete("workflow")
    assert swept == [0]
    assert everything_below(tmp_path) == []


def test_a_file_in_the_place_of_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    store = LocalStore(str(tmp_path / "root"))
    with pytest.raises(DataSaveError, match="root"):
        store.write("folder/key", [b"x"])
    with pytest.raises(DataSaveError):
        store.append("log", 0, b"x")
    with pytest.raises(StorageError):
        check_writable(store)
    assert store.list("folder") == []
    assert store.size("folder/key") is None


def test_a_relative_root_means_the_same_place_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore("root")
    store.write("key", [b"x"])
    travelled = pickle.dumps(store)
    monkeypatch.chdir("/")
    assert pickle.loads(travelled).read("key") == b"x"
    assert store.uri == str(tmp_path / "root")


def test_a_path_and_a_file_uri_open_the_same_store(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    open_store(str(folder)).write("key", [b"x"])
    encoded = str(folder).replace(" ", "%20")
    assert open_store(f"file://{encoded}").read("key") == b"x"


def test_a_storage_that_is_none_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="empty"):
        open_store("")
    with pytest.raises(DataLoadError, match="nonsense"):
        open_store("nonsense://bucket/path")


def test_the_check_of_a_root_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(LocalStore(str(tmp_path)))
    assert everything_below(tmp_path) == []


def test_a_storage_that_does_not_answer_is_given_up() -> None:
    answer = Event()

    class Silent(MemoryStore):
        def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
            answer.wait(60)

    with pytest.raises(StorageError, match=r"did not answer within 0\.2 seconds"):
        check_writable(Silent(), seconds=0.2)
    answer.set()


def test_a_bucket_that_does_not_exist_is_a_storage_error(s3_port: int) -> None:
    store = ObjectStore(s3_uri(s3_port, "missing/prefix"))
    with pytest.raises(DataSaveError, match="Cannot write 'key'"):
        store.write("key", [b"x"])
    with pytest.raises(KeyError):
        store.read("key")
    with pytest.raises(StorageError):
        check_writable(store)
    assert store.list("") == []


@pytest.mark.parametrize("name", ["read", "write"])
def test_a_folder_without_permission_is_a_storage_error(tmp_path: Path, name: str) -> None:
    if os.geteuid() == 0:  # the superuser may everything; a name that is too long stops it too
        key = "x" * 300
    else:
        (tmp_path / "closed").mkdir(mode=0)
        key = "closed/key"
    store = LocalStore(str(tmp_path))
    if name == "read":
        with pytest.raises(DataLoadError, match="Cannot read"):
            store.read(key)
    else:
        with pytest.raises(DataSaveError, match="Cannot write"):
            store.write(key, [b"x"])
