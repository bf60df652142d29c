"""The journal: what a crash, a second owner or a bad disk may do to it, and what readers see."""

from __future__ import annotations

import contextlib
import re
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayflow.core.records import Fact, Kind, Record
from rayflow.errors import DataSaveError, FencedError, JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.index import Index
from rayflow.storage.journal import SCHEMA, Journal, JournalWriter, Position
from rayflow.storage.local import LocalStore
from rayflow.storage.store import Store
from rayflow.testing.crash_store import CrashStore, StoreStopped
from rayflow.testing.flaky_store import FlakyStore, every
from rayflow.testing.memory_store import MemoryStore

ID = "w"
FILE = f"{layout.journal(ID)}/000001.arrows"
both_layouts = pytest.mark.parametrize("appends", [True, False], ids=["one file", "objects"])


def record(seq: int, text: str = "") -> Record:
    fact = Fact(Kind.STARTED, f"task {seq}", seq, {"text": text}, text.encode() or None)
    return fact.at(seq, 1_700_000_000.25 + seq)


def write(store: Store, *batches: int) -> JournalWriter:
    """A journal with ``batches`` records in each batch."""
    writer = Journal(store, ID).create()
    for count in batches:
        last = writer.last_seq
        writer.commit([record(last + n, "x" * n) for n in range(1, count + 1)])
    return writer


def claim(store: Store, now: float = 5.0) -> tuple[JournalWriter, list[Record]]:
    """Take the workflow over; returns the writer and all records."""
    writer = Journal(store, ID).claim(now)
    assert writer is not None
    return writer, Journal(store, ID).load()


def seqs(store: Store) -> list[int]:
    return [r.seq for r in Journal(store, ID).load()]


@both_layouts
def test_what_was_committed_is_loaded_as_it_was(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    write(store, 1, 3, 2)
    assert Journal(store, ID).load() == [
        record(n, "x" * k) for n, k in enumerate([1, 1, 2, 3, 1, 2], 1)
    ]


@given(
    st.lists(
        st.builds(
            Fact,
            st.sampled_from([kind for kind in Kind if kind is not Kind.SEALED]),
            st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            st.none() | st.integers(0, 2**31 - 1),
            st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.booleans()),
            st.none() | st.binary(),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=25, deadline=None)
def test_any_record_survives_the_journal(facts: list[Fact]) -> None:
    store = MemoryStore()
    records = [fact.at(n, 1_700_000_000.125) for n, fact in enumerate(facts, 1)]
    Journal(store, ID).create().commit(records)
    assert Journal(store, ID).load() == records


def test_a_batch_that_is_torn_at_any_byte_was_not_committed() -> None:
    store = MemoryStore()
    write(store, 2, 1)
    committed = len(store.content[FILE])
    journal = Journal(store, ID)
    writer = write(MemoryStore(), 2, 1)
    writer._log.store = store  # the same journal, continued
    writer.commit([record(4, "torn")])
    whole = store.content[FILE]
    for length in range(committed, len(whole)):
        store.content[FILE] = whole[:length]
        assert [r.seq for r in journal.load()] == [1, 2, 3], length
    store.content[FILE] = whole
    assert [r.seq for r in journal.load()] == [1, 2, 3, 4]


def value_record(seq: int, value: bytes) -> Record:
    return Fact(Kind.SUCCEEDED, "t", 1, {"value": None}, value).at(seq, 1_700_000_000.0)


def test_a_torn_batch_whose_value_holds_later_batches_of_this_very_journal_is_torn() -> None:
    # Given a journal of four batches, and another one that begins alike
    store, other = MemoryStore(), MemoryStore()
    write(store, 1, 1, 1, 1)
    writer = write(other, 1)
    # When the other's next batch, which is torn, has the whole first journal in its value
    writer.commit([value_record(2, store.content[FILE])])
    other.content[FILE] = other.content[FILE][:-5]
    # Then it was not committed, and nobody calls it corrupt
    assert seqs(other) == [1]
    Journal(other, ID).claim(5.0)
    assert seqs(other) == [1, 2]


def without_place(data: bytes) -> bytes:
    """A journal as it was before batches said where they belong."""
    head = SCHEMA.serialize().to_pybytes()
    out, number = head, 0
    with pa.ipc.open_stream(data) as reader:
        for batch in reader:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, SCHEMA) as writer:
                marks = {"rayflow.n": str(number), "rayflow.crc": "-" * 8}
                writer.write_batch(batch, custom_metadata=marks)
                end = sink.tell()
            frame = bytes(sink.getvalue())[len(head) : end]
            out += frame.replace(b"-" * 8, b"%08x" % zlib.crc32(frame), 1)
            number += 1
    return out


def test_journals_whose_batches_do_not_say_where_they_belong_are_read() -> None:
    store = MemoryStore()
    write(store, 1, 2, 1)
    store.content[FILE] = without_place(store.content[FILE])
    assert seqs(store) == [1, 2, 3, 4]
    data = bytearray(store.content[FILE])
    data[1500] ^= 1
    store.content[FILE] = bytes(data)
    with pytest.raises(JournalCorruptError):
        seqs(store)


def test_a_copy_of_a_journal_file_under_the_next_epoch_does_not_count() -> None:
    store = MemoryStore()
    write(store, 2, 1)
    _, records = claim(store)
    store.content[FILE.replace("000001", "000003")] = store.content[FILE]
    assert Journal(store, ID).load() == records
    _, again = claim(store, 6.0)
    assert [r.seq for r in again] == [1, 2, 3, 4, 5]
    assert Journal(store, ID).load() == again


def test_the_next_commit_takes_the_place_of_a_torn_one() -> None:
    store = MemoryStore()
    writer = write(store, 2)
    committed = store.content[FILE]
    store.content[FILE] = committed + b"\xff\xff\xff\xff and then the power failed"
    writer.commit([record(3)])
    assert seqs(store) == [1, 2, 3]


def test_a_flipped_bit_never_gives_wrong_data() -> None:
    # Given three batches; of the last one, nobody can tell whether it was committed
    store = MemoryStore()
    write(store, 1, 1, 1)
    good = Journal(store, ID).load()
    whole = bytearray(store.content[FILE])
    prefixes = [good[:2], good]
    # When a single bit of any byte is flipped
    for position in range(len(whole)):
        for bit in (position % 8, (position + 3) % 8):
            whole[position] ^= 1 << bit
            store.content[FILE] = bytes(whole)
            whole[position] ^= 1 << bit
            # Then the journal is corrupt, or as it was, or without the last batch
            try:
                loaded = Journal(store, ID).load()
            except JournalCorruptError:
                continue
            assert loaded in prefixes, f"bit {bit} of byte {position}"


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_stretches_never_give_wrong_data(data: st.DataObject) -> None:
    store = MemoryStore()
    write(store, 3, 2, 4)
    good = Journal(store, ID).load()
    whole = store.content[FILE]
    start = data.draw(st.integers(0, len(whole) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=200))
    store.content[FILE] = whole[:start] + junk + whole[start + len(junk) :]
    try:
        loaded = Journal(store, ID).load()
    except JournalCorruptError:
        return
    assert loaded in (good, good[:5], good[:3], [])
    if start + len(junk) < len(whole) - 2_000:
        assert loaded in (good, good[:5])


@both_layouts
def test_damage_before_the_tail_names_the_file(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    write(store, 1, 1, 1)
    key = FILE if appends else f"{layout.journal(ID)}/000001/0000000001.arrow"
    data = bytearray(store.content[key])
    data[len(data) // 2] ^= 0x10
    store.content[key] = bytes(data)
    with pytest.raises(JournalCorruptError, match="000001"):
        Journal(store, ID).load()


def test_a_batch_that_is_there_twice_is_not_read_twice() -> None:
    store = MemoryStore()
    write(store, 2)
    one = len(store.content[FILE])
    head = len(pa.ipc.open_stream(pa.py_buffer(store.content[FILE])).schema.serialize())
    store.content[FILE] += store.content[FILE][head:one]
    assert seqs(store) == [1, 2]


@pytest.mark.parametrize("length", [0, 1, 100])
def test_an_empty_or_cut_head_is_a_journal_without_records(length: int) -> None:
    store = MemoryStore()
    write(store, 2)
    store.content[FILE] = store.content[FILE][:length]
    assert seqs(store) == []


def test_a_journal_that_was_never_written_has_no_records() -> None:
    journal = Journal(MemoryStore(), ID)
    assert (journal.exists(), journal.load()) == (False, [])
    assert journal.read(Position(), 10).records == []


@both_layouts
def test_an_owner_that_was_overtaken_is_fenced_and_changes_nothing_any_more(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    old = write(store, 2)
    new, records = claim(store)
    assert [r.kind for r in records] == ["started", "started", "sealed"]
    with pytest.raises(FencedError):
        old.commit([record(3, "late")])
    new.commit([record(4, "new")])
    with pytest.raises(FencedError):
        old.commit([record(4, "later")])
    assert [(r.seq, r.kind) for r in Journal(store, ID).load()] == [
        (1, "started"), (2, "started"), (3, "sealed"), (4, "started"),
    ]  # fmt: skip
    assert Journal(store, ID).load()[-1].data == {"text": "new"}


@both_layouts
def test_an_owner_of_a_deleted_workflow_writes_nothing_into_the_next_one_with_its_id(
    appends: bool,
) -> None:
    store = MemoryStore(appends=appends)
    index, rival = Index(store), Index(store)
    index.take_over(None)
    old = Journal(store, ID).create(index.first_epoch)
    old.commit([record(1), record(2)])
    # Given another engine that took the root over and deleted the workflow, which is made once more
    rival.take_over(None)
    assert rival.first_epoch > index.first_epoch
    store.delete(layout.journal(ID))
    Journal(store, ID).create(rival.first_epoch).commit([record(1, "new")])
    # When the first engine writes on, since nothing has told it that it must not
    with contextlib.suppress(FencedError):
        old.commit([record(3, "late")])
    # Then nobody reads that, and a third engine that takes the workflow does not either
    assert [r.data for r in Journal(store, ID).load()] == [{"text": "new"}]
    _, records = claim(store)
    assert [r.kind for r in records] == ["started", "sealed"]


@both_layouts
def test_a_commit_on_a_storage_that_fails_every_third_call_can_be_repeated(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    write(store, 1)
    writer, _ = claim(store)
    writer._log.store = FlakyStore(store, every(3))
    refused = 0
    for seq in range(3, 23):
        while True:
            try:
                writer.commit([record(seq)])
            except DataSaveError:
                refused += 1
            else:
                break
        assert seqs(store) == list(range(1, seq + 1))
    assert refused >= 10


@both_layouts
def test_a_batch_written_between_the_claim_and_the_seal_counts(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    old = write(store, 2)
    log = Journal(store, ID)._log
    log.claim(2)
    with pytest.raises(FencedError):
        old.commit([record(3)])
    assert seqs(store) == [1, 2, 3]
    _, records = claim(store)
    assert [r.seq for r in records] == [1, 2, 3, 4]
    assert records[-1].data == {"epochs": {"1": 2, "2": 0}}


@both_layouts
def test_of_two_that_claim_the_later_epoch_wins(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    write(store, 2)
    first, _ = claim(store)
    second, records = claim(store, 6.0)
    assert [r.seq for r in records] == [1, 2, 3, 4]
    with pytest.raises(FencedError):
        first.commit([record(4)])
    second.commit([record(5)])
    assert seqs(store) == [1, 2, 3, 4, 5]


def test_two_that_claim_the_same_epoch_are_told_apart() -> None:
    store = MemoryStore()
    write(store, 1)

    class Racing(MemoryStore):
        """Somebody else claims right after our look at the epochs."""

        def append(self, key: str, offset: int, data: object) -> None:
            if offset == 0 and key not in self.content:
                super().append(key, 0, b"theirs")
            super().append(key, offset, data)  # type: ignore[arg-type]

    with pytest.raises(FencedError, match="epoch 2"):
        Journal(Racing(store.content), ID).claim(5.0)


@both_layouts
@pytest.mark.parametrize("moment", ["before", "middle", "after"])
@pytest.mark.parametrize("step", [0, 1])
def test_a_crash_in_every_step_of_a_claim_loses_nothing(
    appends: bool, moment: str, step: int
) -> None:
    store = MemoryStore(appends=appends)
    write(store, 2, 1)
    with pytest.raises(StoreStopped):
        Journal(CrashStore(store, stop_at=step, moment=moment), ID).claim(5.0)  # type: ignore[arg-type]
    assert seqs(store)[:3] == [1, 2, 3]
    writer, records = claim(store, 6.0)
    writer.commit([record(records[-1].seq + 1)])
    assert seqs(store) == list(range(1, len(records) + 2))
    assert [r.kind for r in records].count("started") == 3


@both_layouts
def test_a_lost_batch_that_a_seal_counts_is_corruption(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    write(store, 1, 1)
    Journal(store, ID).claim(5.0)
    if appends:
        store.content[FILE] = store.content[FILE][:-10]
    else:
        del store.content[f"{layout.journal(ID)}/000001/0000000001.arrow"]
    with pytest.raises(JournalCorruptError, match="'w'"):
        Journal(store, ID).load()


def test_an_object_that_is_missing_before_others_is_corruption() -> None:
    store = MemoryStore(appends=False)
    write(store, 1, 1, 1)
    del store.content[f"{layout.journal(ID)}/000001/0000000001.arrow"]
    with pytest.raises(JournalCorruptError):
        Journal(store, ID).load()


@both_layouts
def test_reading_in_pages_gives_every_record_once(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    write(store, 2, 1, 3)
    writer, _ = claim(store)
    writer.commit([record(8)])
    for limit in (1, 2, 4, 100):
        found, position, more = [], "", True
        while more:
            page = Journal(store, ID).read(Position.parse(position), limit)
            found += [r.seq for r in page.records]
            position, more = page.position, page.more
            assert not page.reset
        assert found == [1, 2, 3, 4, 5, 6, 7, 8]
        assert Journal(store, ID).read(Position.parse(position), limit).records == []


@both_layouts
def test_a_reader_continues_behind_its_position_as_records_arrive(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    writer = write(store, 1)
    page = Journal(store, ID).read(Position(), 10)
    writer.commit([record(2)])
    page = Journal(store, ID).read(Position.parse(page.position), 10)
    assert [r.seq for r in page.records] == [2]
    Journal(store, ID).claim(5.0)
    page = Journal(store, ID).read(Position.parse(page.position), 10)
    assert [(r.seq, r.kind) for r in page.records] == [(3, "sealed")]


@both_layouts
def test_a_reader_that_saw_a_fenced_owners_batch_starts_anew(appends: bool) -> None:
    store = MemoryStore(appends=appends)
    old = write(store, 2)
    new, _ = claim(store)
    sealed = dict(store.content)
    for key in [k for k in store.content if "/000002" in k]:
        del store.content[key]  # the reader comes before the claim is visible to it
    old.commit([record(3, "fenced")])
    page = Journal(store, ID).read(Position(), 10)
    assert [r.seq for r in page.records] == [1, 2, 3]
    store.content.update({k: v for k, v in sealed.items() if "/000002" in k})
    new.commit([record(4, "new")])
    page = Journal(store, ID).read(Position.parse(page.position), 10)
    assert page.reset
    assert [(r.seq, r.kind) for r in page.records] == [
        (1, "started"), (2, "started"), (3, "sealed"), (4, "started"),
    ]  # fmt: skip


def read_as_documented(folder: Path) -> list[tuple[int, str]]:
    """What the program in the documentation makes of a journal."""
    page = (Path(__file__).parents[2] / "docs/journal-format.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    return [(row["seq"], row["kind"]) for row in names["read_journal"](folder)]


def test_the_documented_program_reads_a_journal_with_pyarrow_alone(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    folder = tmp_path / layout.journal(ID)
    assert read_as_documented(folder) == []
    old = write(store, 2, 1)
    assert read_as_documented(folder) == [(1, "started"), (2, "started"), (3, "started")]
    # It heeds seals: what a fenced owner writes does not count, nor does an epoch without a seal
    new, _ = claim(store)
    with pytest.raises(FencedError):
        old.commit([record(4, "fenced")])
    new.commit([record(5)])
    Journal(store, ID)._log.claim(3)
    # And it stops at a torn tail
    with (folder / "000002.arrows").open("ab") as file:
        file.write(b"\xff\xff\xff\xff\x10\x00")
    records = [(r.seq, str(r.kind)) for r in Journal(store, ID).load()]
    assert read_as_documented(folder) == records
    assert records[-2:] == [(4, "sealed"), (5, "started")]


@pytest.mark.parametrize(
    "workflow_id", ["a/b", "..", ".", "ü", "x" * 1024, "ü" * 512, "a%2Fb", "with space"]
)
def test_a_journal_lies_inside_its_own_folder_whatever_the_id(
    tmp_path: Path, workflow_id: str
) -> None:
    store = LocalStore(str(tmp_path / "root"))
    Journal(store, workflow_id).create().commit([record(1)])
    [path] = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert path.relative_to(tmp_path / "root").parts[0] == "workflows"
    assert len(path.relative_to(tmp_path / "root").parts) == 5
    assert [r.seq for r in Journal(store, workflow_id).load()] == [1]
