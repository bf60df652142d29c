"""Relays: what workers have made durable is there for the engine, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayflow.core.records import Fact, Kind, Record
from rayflow.errors import FencedError, JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.journal import Journal
from rayflow.storage.local import LocalStore
from rayflow.storage.relays import Relay, relayed
from rayflow.testing.memory_store import MemoryStore

ID, EPOCH = "w", 3


def record(seq: int, value: bytes | None = b"\x00\xff\n\r", **data: Any) -> Record:
    return Fact(Kind.SUCCEEDED, f"task\n{seq}", seq, data, value).at(seq, 1_700_000_000.123456)


ODD = [record(1, None), record(2, text="ä\u2028\n\ud800"), record(3, b"", number=0.1, deep=[{}])]


def written(store: MemoryStore, records: list[Record], number: int = 7) -> str:
    relay = Relay(store, ID, EPOCH, number)
    for each in records:
        relay.put([each])
    return layout.relay(ID, EPOCH, number)


def test_what_was_put_is_read_one_relay_or_all_in_the_order_of_their_numbers() -> None:
    store = MemoryStore()
    written(store, ODD, 7)
    written(store, [record(9)], 1_000_000)
    assert relayed(store, ID, EPOCH, 7) == ODD
    assert relayed(store, ID, EPOCH) == [*ODD, record(9)]
    assert relayed(store, ID, EPOCH + 1) == relayed(store, ID, EPOCH, 8) == []


def test_a_relay_is_torn_where_its_worker_died_and_has_all_that_came_before() -> None:
    store = MemoryStore()
    key = written(store, ODD)
    whole = store.content[key]
    ends = [n for n, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        store.content[key] = whole[:length]
        assert relayed(store, ID, EPOCH) == ODD[: sum(end <= length for end in ends)], length


def test_a_relay_that_is_damaged_before_its_end_is_not_believed() -> None:
    store = MemoryStore()
    key = written(store, ODD)
    whole, first = store.content[key], store.content[key].index(b"\n")
    for position in range(first):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        store.content[key] = bytes(damaged)
        with pytest.raises(JournalCorruptError, match="relays"):
            relayed(store, ID, EPOCH)


def test_a_worker_of_an_owner_that_was_overtaken_hears_of_it() -> None:
    store = MemoryStore()
    writer = Journal(store, ID).create(EPOCH)
    writer.commit([record(1)])
    relay = Relay(store, ID, EPOCH, 7)
    relay.put([record(2)])
    assert Journal(store, ID).claim(5.0) is not None
    with pytest.raises(FencedError):
        relay.put([record(3)])


def test_a_relay_that_exists_is_left_to_its_writer(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    Relay(store, ID, EPOCH, 7).put([record(1)])
    with pytest.raises(FileExistsError):
        Relay(store, ID, EPOCH, 7).put([record(2)])
    assert relayed(store, ID, EPOCH) == [record(1)]
