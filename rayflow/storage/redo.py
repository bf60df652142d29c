"""The redo log: what is appended to many files at one moment is durable by one write to the disk.

The files are written first, without waiting for the disk, so readers see what they always see. Then the log
is: a batch with the key, the place and the bytes of each append. When the machine loses its power, the
files may have lost what the log has, and the next owner of the root writes that once more:

1. It claims the next epoch of the log. An older owner finds that out after its next group, which does
   not count for it any more. *Crash: as if nothing had happened.*
2. It writes what the older epochs have, where the files differ. *Crash: done again.*
3. It brings all files to disk, and deletes the older epochs. *Crash: done again.*

A long log is ended the same way by its own owner.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from rayflow.errors import DataSaveError, FencedError, JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.log import Cursor, EpochLog
from rayflow.storage.store import Appender, Buffer, Store

logger = logging.getLogger("rayflow.engine")

MOST_BYTES = 16 * 2**20
FEW_APPENDS = 4  # to a file that is young; then it is worth to have the file itself on disk
LARGE_BYTES = 64 * 1024

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("data", pa.binary()),
    ],
    metadata={"rayflow.format": "1"},
)


@dataclass(frozen=True, slots=True)
class Change:
    """``data`` at ``offset`` of ``key``; without data, all that is below ``key`` is gone."""

    key: str
    offset: int
    data: Buffer | None


class Files(Protocol):
    """The files that the log is about."""

    def put(self, key: str, offset: int, data: Buffer, *, may_exist: bool = False) -> int:
        """Append without waiting for the disk; returns a descriptor of the file.

        ``may_exist``: also if ``offset`` is 0, since it was tried before.
        """

    def restore(self, key: str, offset: int, data: Buffer) -> None:
        """Have ``data`` at ``offset``, if the file is there or ``offset`` is 0."""

    def sync_folders(self, key: str) -> None:
        """Bring the folders of ``key``, and that it is there, to disk."""

    def sync(self) -> None:
        """Bring everything that was written so far to disk."""


class Redo:
    """The log in the hands of the owner of a root. Safe to use from several threads."""

    def __init__(self, store: Store, files: Files, folder: str = layout.REDO) -> None:
        """``store``: where the log itself is written, in ``folder``, on disk with every append."""
        self._store, self._files = store, files
        self._log = EpochLog(store, folder, SCHEMA)
        self._epoch, self._cursor = 0, Cursor()
        self._lock = threading.RLock()
        self._folders: set[str] = set()  # those that this epoch has something of, at any depth
        self._retiring: set[str] | None = None  # the same of the epoch before, while that is ended
        self._is_behind = False  # a write has failed, and what it has left might count
        self._begun: set[str] = set()  # keys that were created by a group that failed
        self._alone: dict[str, int] = {}  # how often young files were all that a group was about

    def take_over(self) -> None:
        """Become the owner: fence the last one, and write once more what the files have lost.

        Raises:
            FencedError: another engine was quicker.
            JournalCorruptError: the log is damaged.
            StorageError: the storage failed.
        """
        older = self._log.epochs()
        self._claim((older[-1] if older else 0) + 1)
        for change in _in_force(read(self._log, older)):
            self._files.restore(change.key, change.offset, change.data or b"")
        self._retire(older)

    @contextmanager
    def group(self) -> Iterator[Appender]:
        """What is appended in here is durable when it is left, all or none.

        Raises:
            FencedError: another engine owns the root now.
            DataSaveError: the storage failed; the appends may be tried again.
        """
        group = _Group(self._files, self._begun)
        try:
            yield group
            if group.changes:
                self._close(group)
        except DataSaveError:
            self._begun.update(change.key for change in group.changes if change.offset == 0)
            raise
        finally:
            for descriptor in group.descriptors:
                os.close(descriptor)

    def forget(self, prefix: str) -> None:
        """What is below ``prefix`` is about to be deleted, and must not be written once more."""
        with self._lock:
            self._begun = {key for key in self._begun if prefix not in _above(key)}
            if prefix in self._folders or prefix in (self._retiring or ()):
                self._commit([Change(prefix, 0, None)])

    def _close(self, group: _Group) -> None:
        with self._lock:
            changes = group.changes
            if len(changes) == 1 and not self._is_behind and self._may_be_alone(changes[0]):
                _sync(group.descriptors[0], changes[0].key)
            else:
                self._commit(changes)
            self._begun.difference_update(change.key for change in changes)

    def _may_be_alone(self, change: Change) -> bool:
        """Whether its file is brought to disk by itself: as quick, and the data is written once only.

        The file must be there after a power failure: the log has the creation of young ones.
        """
        key, is_large = change.key, len(change.data or b"") > LARGE_BYTES
        if change.offset == 0:
            if is_large:
                self._files.sync_folders(key)
                self._alone[key] = FEW_APPENDS
            return is_large
        if key not in self._folders and key not in (self._retiring or ()):
            return True
        count = self._alone.get(key, 0) + 1
        if count == FEW_APPENDS or (count < FEW_APPENDS and is_large):
            self._files.sync_folders(key)
            count = FEW_APPENDS
        self._alone[key] = count
        return count >= FEW_APPENDS

    def _commit(self, changes: Sequence[Change]) -> None:
        batch = pa.RecordBatch.from_arrays(
            [
                pa.array([c.key for c in changes], pa.string()),
                pa.array([c.offset for c in changes], pa.int64()),
                pa.array([c.data and bytes(c.data) for c in changes], pa.binary()),
            ],
            schema=SCHEMA,
        )
        self._is_behind = True
        self._cursor = self._log.append(self._epoch, self._cursor, batch)
        self._is_behind = False
        for change in changes:
            self._folders.update(_above(change.key))
            if change.offset == 0:
                self._alone.pop(change.key, None)
        if self._cursor.offset > MOST_BYTES and self._retiring is None:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """What the log has is not needed any more when the files are on disk, which takes a while."""
        old = self._epoch
        self._claim(old + 1)
        self._retiring, self._folders = self._folders, set()
        self._alone.clear()

        def retire() -> None:
            try:
                self._retire([old])
            except (OSError, DataSaveError) as error:  # the next owner does it
                logger.warning("an old redo log stays: %s", error)
            self._retiring = None

        threading.Thread(target=retire, name="rayflow-redo", daemon=True).start()

    def _claim(self, epoch: int) -> None:
        try:
            self._cursor = self._log.claim(epoch)
        except FileExistsError as error:
            raise FencedError(f"Another engine took the root {self._store.uri}.") from error
        self._epoch = epoch

    def _retire(self, epochs: Sequence[int]) -> None:
        if epochs:
            self._files.sync()
        for epoch in epochs:
            self._store.delete(f"{self._log.folder}/{epoch:06d}.arrows")


class _Group:
    """Appends of one group, written but not on disk yet."""

    def __init__(self, files: Files, begun: set[str]) -> None:
        self._files, self._begun = files, begun
        self.changes: list[Change] = []
        self.descriptors: list[int] = []

    def append(self, key: str, offset: int, data: Buffer) -> None:
        may_exist = key in self._begun
        self.descriptors.append(self._files.put(key, offset, data, may_exist=may_exist))
        self.changes.append(Change(key, offset, data))


def read(log: EpochLog, epochs: Sequence[int]) -> list[Change]:
    """What some epochs of a redo log have, in order.

    Raises:
        JournalCorruptError: it is damaged.
        DataLoadError: the storage failed.
    """
    try:
        return [
            Change(*row)
            for epoch in epochs
            for frame in log.read(epoch)
            for row in zip(*(column.to_pylist() for column in frame.batch.columns), strict=True)
        ]
    except JournalCorruptError as error:
        raise JournalCorruptError(
            f"{error} Without a copy, move it out of the storage: what a power failure has just taken from "
            "other files is not written once more then; nothing else is lost."
        ) from error


def _in_force(changes: Sequence[Change]) -> list[Change]:
    """Those that are not about something that was deleted later."""
    kept, gone = [], set[str]()
    for change in reversed(changes):
        if change.data is None:
            gone.add(change.key)
        elif gone.isdisjoint(_above(change.key)):
            kept.append(change)
    return kept[::-1]


def _above(key: str) -> Iterator[str]:
    """The folders that ``key`` lies in, and itself."""
    end = len(key)
    while end > 0:
        yield key[:end]
        end = key.rfind("/", 0, end)


def _sync(descriptor: int, key: str) -> None:
    try:
        sync_data(descriptor)
    except OSError as error:
        raise DataSaveError(f"Cannot write '{key}' to disk: {error}. Try again.") from error


# The data and the length, without times that nobody reads.
sync_data = getattr(os, "fdatasync", os.fsync)
