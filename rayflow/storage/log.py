"""An append-only log of Arrow record batches, divided into epochs. Journals and the index are such logs.

On a store that appends, an epoch is one Arrow IPC stream, ``<epoch>.arrows``. On an object store it is a
folder, ``<epoch>/<n>.arrow``, with one immutable stream a commit. Every batch says in its metadata which
one it is (``rayflow.n``, from 0) and has a CRC-32 of all its bytes (``rayflow.crc``): lengths and counts in
an Arrow message can be damaged as well as data, and would be believed.

A frame that cannot be read is a *torn tail*, "not committed", if nothing readable follows; else the log
is corrupt and is not loaded. What a frame promises holds once :meth:`EpochLog.append` has returned.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from rayflow.errors import DataLoadError, DataSaveError, FencedError, JournalCorruptError
from rayflow.storage.store import Appender, Buffer, Store

_MARKER = b"\xff\xff\xff\xff"  # starts every Arrow IPC message
_UNSIGNED = "-" * 8  # stands in the place of a frame's checksum while that is computed
_OPTIONS = pa.ipc.IpcWriteOptions()  # else made anew each time, from variables of the environment
_FILE = re.compile(r"(\d{6,})(\.arrows)?")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two batches of an epoch: how many batches and how many bytes lie before it."""

    batches: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One committed batch, its metadata, and the place right behind it."""

    batch: pa.RecordBatch
    metadata: dict[str, str]
    end: Cursor


class EpochLog:
    """The log in the folder ``folder`` of ``store``, whose batches have ``schema``."""

    def __init__(self, store: Store, folder: str, schema: pa.Schema) -> None:
        self.store, self.folder, self.schema = store, folder, schema
        self._head = schema.serialize().to_pybytes()

    def epochs(self) -> list[int]:
        """The epochs that exist, ascending."""
        matches = (_FILE.fullmatch(name) for name, _ in self.store.list(self.folder))
        return sorted(int(match[1]) for match in matches if match)

    def claim(self, epoch: int) -> Cursor:
        """Create ``epoch`` without any batch.

        Raises:
            FileExistsError: somebody else has claimed it.
        """
        if self.store.appends:
            self.store.append(self._key(epoch), 0, self._head)
        else:
            self.store.write(f"{self.folder}/{epoch:06d}/claim", [self._head], if_absent=True)
        return Cursor(0, len(self._head))

    def append(self, epoch: int, cursor: Cursor, batch: pa.RecordBatch) -> Cursor:
        """Commit ``batch`` at ``cursor``, the end of ``epoch``, and return the new end.

        A cursor of ``Cursor()`` creates the epoch together with its first batch.

        Raises:
            FencedError: the next epoch exists: somebody else owns the log now. Whether the batch
                counts is for the new owner to say.
            FileExistsError: the epoch was to be created, and exists.
            DataSaveError: the storage failed; the batch does not count, and may be tried again.
        """
        end = self.write(epoch, cursor, batch)
        self.require_owned(epoch)
        return end

    def require_owned(self, epoch: int) -> None:
        """Look whether ``epoch`` is still the newest, after something was committed to it.

        Raises:
            FencedError: a later one exists.
            DataSaveError: the storage failed.
        """
        # After the write, not before: a new owner claims first and reads afterwards, so a batch
        # that was written before the claim is always seen by it.
        try:
            is_over = self.is_over(epoch)
        except DataLoadError as error:
            raise DataSaveError(f"Nobody knows who owns {self.folder} now: {error}") from error
        if is_over:
            raise FencedError(f"Epoch {epoch} of {self.folder} is over: a later one exists.")

    def write(
        self, epoch: int, cursor: Cursor, batch: pa.RecordBatch, to: Appender | None = None
    ) -> Cursor:
        """Like :meth:`append`, without a look at who owns the log; somebody else looks.

        ``to``: the group of appends that this is one of.
        """
        stream = self._encode(epoch, cursor, batch)
        data = stream if cursor.offset == 0 else stream[len(self._head) :]
        if self.store.appends:
            self._append_to_file(epoch, cursor, data, to or self.store)
        else:
            key = f"{self.folder}/{epoch:06d}/{cursor.batches:010d}.arrow"
            self.store.write(key, [stream], if_absent=cursor == Cursor())
        return Cursor(cursor.batches + 1, cursor.offset + len(data))

    def is_over(self, epoch: int) -> bool:
        """Whether an epoch after ``epoch`` exists; whoever appends to one that was deleted hears it so, too.

        Raises:
            DataLoadError: the storage failed.
        """
        if self.store.appends:  # whose files are deleted from the first one on
            return self.store.size(self._key(epoch + 1)) is not None
        return max(self.epochs(), default=0) > epoch

    def read(self, epoch: int, cursor: Cursor | None = None) -> Iterator[Frame]:
        """The committed batches of ``epoch`` from ``cursor`` on.

        Raises:
            JournalCorruptError: a batch is damaged and readable ones follow.
            DataLoadError: the storage failed.
        """
        if self.store.appends:
            yield from self._read_file(epoch, cursor or Cursor())
        else:
            yield from self._read_objects(epoch, cursor)

    def _append_to_file(self, epoch: int, cursor: Cursor, data: Buffer, to: Appender) -> None:
        try:
            to.append(self._key(epoch), cursor.offset, data)
        except KeyError:
            raise FencedError(f"Epoch {epoch} of {self.folder} was deleted.") from None

    def _key(self, epoch: int) -> str:
        return f"{self.folder}/{epoch:06d}.arrows"

    def _encode(self, epoch: int, cursor: Cursor, batch: pa.RecordBatch) -> memoryview:
        """A stream with ``batch`` alone. It may be large, so nothing of it is copied more than once."""
        offset = cursor.offset if self.store.appends and cursor.offset else len(self._head)
        marks = {
            "rayflow.epoch": str(epoch),
            "rayflow.n": str(cursor.batches),
            "rayflow.at": str(offset),
            "rayflow.crc": _UNSIGNED,
        }
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema, options=_OPTIONS) as writer:
            writer.write_batch(batch, custom_metadata=marks)
            end = sink.tell()  # before the end-of-stream mark
        stream = bytearray(memoryview(sink.getvalue())[:end])
        sign = stream.index(_UNSIGNED.encode(), len(self._head))
        crc = zlib.crc32(memoryview(stream)[len(self._head) :])
        stream[sign : sign + len(_UNSIGNED)] = b"%08x" % crc
        return memoryview(stream)

    def _read_file(self, epoch: int, cursor: Cursor) -> Iterator[Frame]:
        start = cursor if cursor.offset else Cursor(0, len(self._head))
        try:
            data = self._head + self.store.read(self._key(epoch), start.offset)
        except KeyError:
            return
        base = start.offset - len(self._head)
        frames = _Frames(data)
        position, number = len(self._head), start.batches
        while position < len(data):
            found = frames.next()
            if found is None or not _belongs(found[1], epoch, number, base + position):
                self._require_torn_tail(epoch, data, position, Cursor(number, base + position))
                return
            batch, metadata, position = found
            number += 1
            yield Frame(batch, metadata, Cursor(number, base + position))

    def _read_objects(self, epoch: int, cursor: Cursor | None) -> Iterator[Frame]:
        start = cursor or Cursor()
        number, offset = start.batches, start.offset
        while True:
            key = f"{self.folder}/{epoch:06d}/{number:010d}.arrow"
            try:
                data = self.store.read(key)
            except KeyError:
                if cursor is None:
                    self._require_no_gap(epoch, number)
                return
            found = _Frames(self._head + data[len(self._head) :]).next()
            if found is None or not _belongs(found[1], epoch, number, len(self._head)):
                raise JournalCorruptError(f"'{key}' of {self.store.uri} is damaged; restore it.")
            offset += len(data)
            number += 1
            yield Frame(found[0], found[1], Cursor(number, offset))

    def _require_torn_tail(self, epoch: int, data: bytes, position: int, bad: Cursor) -> None:
        """No later batch of this file may follow a frame that cannot be read.

        A value inside the torn frame may hold bytes of whole batches, of this journal even: those
        do not lie where they say.

        Raises:
            JournalCorruptError: an intact later batch follows.
        """
        later = data.find(_MARKER, position + 1)
        while later != -1:
            found = _Frames(self._head + data[later:]).next()
            if found is not None:
                number = int(found[1].get("rayflow.n", "-1"))
                place = bad.offset + later - position
                if number > bad.batches and _belongs(found[1], epoch, number, place):
                    raise JournalCorruptError(
                        f"Batch {bad.batches} of '{self._key(epoch)}' in {self.store.uri} is "
                        "damaged, and committed batches follow it; restore the file from a copy."
                    )
            later = data.find(_MARKER, later + 1)

    def _require_no_gap(self, epoch: int, number: int) -> None:
        """Nothing may follow an object that is missing.

        Raises:
            JournalCorruptError: a later batch exists.
        """
        later = [name for name, _ in self.store.list(f"{self.folder}/{epoch:06d}")]
        if any(name[:10].isdigit() and int(name[:10]) > number for name in later):
            raise JournalCorruptError(
                f"Batch {number} of '{self.folder}/{epoch:06d}' in {self.store.uri} is missing, and "
                "committed batches follow it; restore it from a copy."
            )


class _Frames:
    """The frames of a stream, one after the other, until one is not intact."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._source = pa.BufferReader(data)
        self._reader = pa.ipc.open_stream(self._source)

    def next(self) -> tuple[pa.RecordBatch, dict[str, str], int] | None:
        """The next frame's batch, its metadata, and its end; or None."""
        start = self._source.tell()
        if self._data[start : start + 4] != _MARKER:
            return None
        try:
            batch, raw = self._reader.read_next_batch_with_custom_metadata()
            metadata = {k.decode(): v.decode() for k, v in (raw or {}).items()}
        except (StopIteration, OSError, ValueError, MemoryError, pa.ArrowException):
            return None  # cut off, or lengths and names that flipped bits have made nonsense of
        end = self._source.tell()
        crc = metadata.pop("rayflow.crc", "")
        if crc != f"{_checksum(self._data, start, end, crc):08x}":
            return None
        return batch, metadata, end


def _belongs(metadata: Mapping[str, str], epoch: int, number: int, offset: int) -> bool:
    """Whether a frame says that it is batch ``number`` of ``epoch``, at ``offset`` of its file.

    Frames of older journals say their number only.
    """
    return (
        metadata.get("rayflow.n") == str(number)
        and metadata.get("rayflow.epoch", str(epoch)) == str(epoch)
        and metadata.get("rayflow.at", str(offset)) == str(offset)
    )


def _checksum(data: bytes, start: int, end: int, crc: str) -> int:
    """The CRC-32 of a frame as it was before ``crc`` was written into its message."""
    body = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
    message = data[start:body].replace(crc.encode(), _UNSIGNED.encode(), 1)
    return zlib.crc32(memoryview(data)[body:end], zlib.crc32(message))
