"""A store that remembers every change made through it, and can be stopped in the middle of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rayflow.storage.store import Buffer, Store
from rayflow.testing.memory_store import MemoryStore

Moment = Literal["before", "middle", "after"]


class StoreStopped(Exception):
    """The process that used the store has died, as far as the store is concerned."""


@dataclass(frozen=True, slots=True)
class Change:
    """One operation that changes a store."""

    kind: Literal["write", "append", "delete"]
    key: str
    offset: int = 0
    data: bytes = b""
    if_absent: bool = False

    def apply(self, store: Store, length: int | None = None) -> None:
        """Repeat the change on ``store``; an append only with its first ``length`` bytes."""
        if self.kind == "append":
            store.append(self.key, self.offset, self.data[:length])
        elif self.kind == "write":
            store.write(self.key, [self.data], if_absent=self.if_absent)
        else:
            store.delete(self.key)


class CrashStore(Store):
    """Passes everything to ``inner`` and keeps the list of changes.

    Args:
        inner: the store that does the work.
        stop_at: the number of the change, from 0, in which to raise :class:`StoreStopped`; from then
            on every operation raises it.
        moment: whether that change has happened, has not, or (an append only) has in part.
    """

    def __init__(
        self, inner: Store, *, stop_at: int | None = None, moment: Moment = "before"
    ) -> None:
        self.uri, self.appends = inner.uri, inner.appends
        self.changes: list[Change] = []
        self.is_stopped = False
        self._inner, self._stop_at, self._moment = inner, stop_at, moment

    def stop(self) -> None:
        """Let every further operation raise :class:`StoreStopped`."""
        self.is_stopped = True

    def restore(self, changes: int, *, torn: int | None = None) -> MemoryStore:
        """A fresh store as it was after the first ``changes`` changes.

        With ``torn`` the change after those has begun: that many bytes of it, if it is an append,
        are there. Anything else happens as a whole or not at all.
        """
        store = MemoryStore(appends=self.appends)
        for change in self.changes[:changes]:
            change.apply(store)
        if torn is not None and self.changes[changes].kind == "append":
            self.changes[changes].apply(store, torn)
        return store

    def read(self, key: str, offset: int = 0) -> bytes:
        self._require_running()
        return self._inner.read(key, offset)

    def size(self, key: str) -> int | None:
        self._require_running()
        return self._inner.size(key)

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        self._change(Change("write", key, data=b"".join(parts), if_absent=if_absent))

    def append(self, key: str, offset: int, data: Buffer) -> None:
        self._change(Change("append", key, offset, bytes(data)))

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        self._require_running()
        return self._inner.list(prefix)

    def delete(self, prefix: str) -> None:
        self._change(Change("delete", prefix))

    def _change(self, change: Change) -> None:
        self._require_running()
        if len(self.changes) == self._stop_at:
            self.is_stopped = True
            if self._moment == "after":
                change.apply(self._inner)
            elif self._moment == "middle" and change.kind == "append":
                self._tear(change)
            raise StoreStopped(f"stopped {self._moment} {change.kind} of '{change.key}'")
        change.apply(self._inner)
        self.changes.append(change)

    def _tear(self, change: Change) -> None:
        """Write half of an append; what lay behind that since an append that failed is still there."""
        half = change.data[: len(change.data) // 2]
        size = self._inner.size(change.key) if change.offset else None
        rest = b"" if size is None else self._inner.read(change.key, change.offset)[len(half) :]
        self._inner.append(change.key, change.offset, half + rest)

    def _require_running(self) -> None:
        if self.is_stopped:
            raise StoreStopped("the store was stopped")
