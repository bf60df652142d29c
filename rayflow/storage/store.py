"""The storage contract: a handful of operations on keys, and what each promises.

Keys are relative, use ``/``, and are built in ``layout.py`` only. Stores are cheap to make, hold no
connection state that cannot be pickled, and are safe to use from several threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

Buffer = bytes | bytearray | memoryview


class Appender(Protocol):
    """What appends: a store, or a group of appends to one."""

    def append(self, key: str, offset: int, data: Buffer) -> None: ...


class Store(ABC):
    """Where bytes lie.

    Attributes:
        uri: the name of the store in messages; without credentials.
        appends: whether :meth:`append` works (a journal epoch is then one file, else one object a commit).
    """

    uri: str
    appends: bool

    @abstractmethod
    def read(self, key: str, offset: int = 0) -> bytes:
        """The bytes of ``key`` from ``offset`` on.

        Raises:
            KeyError: there is no such key.
            DataLoadError: the storage failed.
        """

    def read_part(self, key: str, offset: int, length: int) -> bytes:
        """At most ``length`` bytes of ``key`` from ``offset`` on.

        Raises:
            KeyError: there is no such key.
            DataLoadError: the storage failed.
        """
        return self.read(key, offset)[:length]

    def view(self, key: str) -> Buffer:
        """The bytes of ``key``, for reading only: mapped instead of loaded where that is possible.

        ``key`` must not be written again; it may be deleted.

        Raises:
            KeyError: there is no such key.
            DataLoadError: the storage failed.
        """
        return self.read(key)

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Length of ``key`` in bytes, or None if there is no such key."""

    @abstractmethod
    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """Store ``parts``, one after the other, under ``key``: all or nothing, durable on return.

        A crash in the middle leaves the key as it was. With ``if_absent`` an existing key is kept.

        Raises:
            FileExistsError: ``if_absent`` and the key exists.
            DataSaveError: the storage failed; the key is as it was.
        """

    @abstractmethod
    def append(self, key: str, offset: int, data: Buffer) -> None:
        """Put ``data`` at ``offset`` of ``key`` and cut off what lies behind; durable on return.

        ``offset`` 0 creates the key. A crash in the middle may leave a part of ``data`` behind
        ``offset``: readers must recognise it.

        Raises:
            FileExistsError: ``offset`` is 0 and the key exists.
            KeyError: ``offset`` is not 0 and there is no such key.
            DataSaveError: the storage failed, or the key ends before ``offset``. It may be tried
                again: a key that was to be created does not exist.
        """

    def own(self, engine: int = 0) -> None:  # noqa: B027 (most stores have nothing to do)
        """Become the one process with this number that appends to several keys :meth:`together`.

        Raises:
            FencedError: another process does so in this moment.
            StorageError: what the last one has left cannot be read.
        """

    def together(self) -> AbstractContextManager[Appender]:
        """Append to several keys, in the order of the calls; durable when the context is left.

        Each append raises by itself, and counts or not by itself. If leaving raises, none of them counts.

        Raises:
            FencedError: another process has become the owner; whether they count is for that one to say.
            DataSaveError: the storage failed; they may be tried again.
        """
        return nullcontext(self)

    @abstractmethod
    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        """Names directly below the folder ``prefix``, sorted; empty if there is no such folder.

        Leftovers of writes that a crash interrupted are not listed.
        """

    @abstractmethod
    def delete(self, prefix: str) -> None:
        """Remove a key, or a folder with all below it. Nothing there is success."""

    def sweep(self, older_than: float) -> int:
        """Remove what crashes left of writes and deletes more than ``older_than`` seconds ago.

        Returns how many leftovers there were. A store whose writes leave nothing has nothing to do.

        Raises:
            DataSaveError: the storage failed; the rest can be swept another time.
        """
        return 0
