"""What every :class:`~rayflow.storage.store.Store` must do, as tests.

Derive a class from :class:`StoreTests`, give it a pytest fixture ``store`` that returns an empty store,
and a store of your own is tested like RayFlow's.
"""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from rayflow.errors import DataSaveError
from rayflow.storage.store import Store

WRITERS = 8


class StoreTests:
    """The contract of a store, one promise a test.

    ``tells_creators_apart``: whether exactly one of several simultaneous writers with ``if_absent``
    wins. A store without it must say so in its documentation.
    """

    tells_creators_apart = True

    def test_what_was_written_is_read_back(self, store: Store) -> None:
        store.write("folder/key", [b"one", bytearray(b"two"), memoryview(b"three")])
        assert store.read("folder/key") == b"onetwothree"
        assert store.size("folder/key") == 11

    def test_reading_starts_at_the_offset(self, store: Store) -> None:
        store.write("key", [b"0123456789"])
        assert store.read("key", 4) == b"456789"
        assert store.read("key", 10) == b""

    def test_a_part_is_read_from_the_offset_on(self, store: Store) -> None:
        store.write("key", [b"0123456789"])
        assert store.read_part("key", 4, 3) == b"456"
        assert store.read_part("key", 8, 10) == b"89"
        assert store.read_part("key", 10, 1) == b""
        with pytest.raises(KeyError):
            store.read_part("missing", 0, 1)

    def test_a_view_has_the_same_bytes_even_when_they_are_deleted(self, store: Store) -> None:
        store.write("a/b", [b"one", b"two"])
        view = memoryview(store.view("a/b"))
        store.delete("a/b")
        assert (bytes(view), view.nbytes) == (b"onetwo", 6)
        store.write("empty", [])
        assert bytes(store.view("empty")) == b""
        with pytest.raises(KeyError):
            store.view("a/b")

    def test_an_empty_value_exists(self, store: Store) -> None:
        store.write("empty", [])
        assert store.read("empty") == b""
        assert store.size("empty") == 0

    def test_a_missing_key_is_a_key_error_and_has_no_size(self, store: Store) -> None:
        with pytest.raises(KeyError):
            store.read("missing")
        with pytest.raises(KeyError):
            store.read("missing/below")
        assert store.size("missing") is None

    def test_a_folder_is_not_a_key(self, store: Store) -> None:
        store.write("folder/key", [b"x"])
        assert store.size("folder") is None
        with pytest.raises(KeyError):
            store.read("folder")

    def test_writing_replaces_the_whole_value(self, store: Store) -> None:
        store.write("key", [b"a longer value"])
        store.write("key", [b"short"])
        assert store.read("key") == b"short"

    def test_create_if_absent_keeps_an_existing_value(self, store: Store) -> None:
        store.write("key", [b"first"], if_absent=True)
        with pytest.raises(FileExistsError):
            store.write("key", [b"second"], if_absent=True)
        assert store.read("key") == b"first"

    def test_one_of_many_simultaneous_creators_wins(self, store: Store) -> None:
        start = Barrier(WRITERS)

        def create(number: int) -> bool:
            start.wait()
            try:
                store.write("claims/1", [b"%d" % number], if_absent=True)
            except FileExistsError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(create, range(WRITERS)))
        assert sum(won) >= 1
        assert won[int(store.read("claims/1"))]
        if self.tells_creators_apart:
            assert sum(won) == 1

    def test_an_append_creates_at_zero_and_continues_at_the_end(self, store: Store) -> None:
        if not store.appends:
            with pytest.raises(DataSaveError):
                store.append("log", 0, b"one")
            return
        store.append("folder/log", 0, b"one")
        store.append("folder/log", 3, memoryview(b"two"))
        assert store.read("folder/log") == b"onetwo"

    def test_an_append_cuts_off_what_a_failed_one_left_behind(self, store: Store) -> None:
        if store.appends:
            store.append("log", 0, b"committed")
            store.append("log", 9, b"left over by a crash")
            store.append("log", 9, b" next")
            assert store.read("log") == b"committed next"

    def test_an_append_never_creates_twice_nor_continues_nothing(self, store: Store) -> None:
        if store.appends:
            store.append("log", 0, b"one")
            with pytest.raises(FileExistsError):
                store.append("log", 0, b"two")
            with pytest.raises(KeyError):
                store.append("missing", 5, b"two")
            assert store.read("log") == b"one"
            assert store.size("missing") is None

    def test_an_append_behind_the_end_is_refused(self, store: Store) -> None:
        if store.appends:
            store.append("log", 0, b"one")
            with pytest.raises(DataSaveError):
                store.append("log", 10, b"two")
            assert store.read("log") == b"one"

    def test_a_list_has_the_names_directly_below_in_order(self, store: Store) -> None:
        for key in ("top/b", "top/a", "top/folder/deep/c", "topmost", "other/d"):
            store.write(key, [b"x"])
        assert store.list("top") == [("a", "file"), ("b", "file"), ("folder", "folder")]

    def test_there_is_nothing_below_what_is_missing_or_a_key(self, store: Store) -> None:
        store.write("key", [b"x"])
        assert store.list("missing") == []
        assert store.list("key") == []

    def test_delete_removes_a_key_or_everything_below_a_folder(self, store: Store) -> None:
        for key in ("top/a", "top/folder/b", "topmost"):
            store.write(key, [b"x"])
        store.delete("top/a")
        assert store.size("top/a") is None
        assert store.size("top/folder/b") == 1
        store.delete("top")
        assert store.size("top/folder/b") is None
        assert store.list("top") == []
        assert store.size("topmost") == 1

    def test_deleting_nothing_is_success(self, store: Store) -> None:
        store.delete("missing")
        store.delete("missing/below")

    def test_a_deleted_key_can_be_created_again(self, store: Store) -> None:
        store.write("folder/key", [b"x"], if_absent=True)
        store.delete("folder")
        store.write("folder/key", [b"y"], if_absent=True)
        assert store.read("folder/key") == b"y"

    def test_odd_names_are_only_names(self, store: Store) -> None:
        names = ["%2E%2E", "a%2Fb", "%C3%BC", "f_1", "x" * 200, "%%" + "0" * 64]
        for name in names:
            store.write(f"odd/{name}", [name.encode()])
        assert [name for name, _ in store.list("odd")] == sorted(names)
        assert all(store.read(f"odd/{name}") == name.encode() for name in names)

    def test_a_store_survives_pickling(self, store: Store) -> None:
        store.write("key", [b"value"])
        copy: Store = pickle.loads(pickle.dumps(store))
        assert copy.read("key") == b"value"
        assert (copy.uri, copy.appends) == (store.uri, store.appends)
