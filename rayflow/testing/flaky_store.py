"""A store that fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from rayflow.errors import DataLoadError, DataSaveError
from rayflow.storage.store import Buffer, Store

Trouble = Literal["", "before", "after"]
T = TypeVar("T")


class FlakyStore(Store):
    """Passes everything to ``inner``, and raises what stores raise when their storage fails.

    Args:
        inner: the store that does the work.
        trouble: asked with the name of every operation (``"read"``, ``"write"``, ...): empty if it
            is to succeed; ``"before"`` or ``"after"`` if it is to fail, without or in spite of
            having been done. What creates a key only if it is absent never fails afterwards.
    """

    def __init__(self, inner: Store, trouble: Callable[[str], Trouble]) -> None:
        self.uri, self.appends = inner.uri, inner.appends
        self._inner, self._trouble = inner, trouble

    def __reduce__(self) -> tuple[Any, ...]:
        return FlakyStore, (self._inner, self._trouble)

    def read(self, key: str, offset: int = 0) -> bytes:
        return self._load("read", lambda: self._inner.read(key, offset))

    def size(self, key: str) -> int | None:
        return self._load("size", lambda: self._inner.size(key))

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        return self._load("list", lambda: self._inner.list(prefix))

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        work = lambda: self._inner.write(key, parts, if_absent=if_absent)  # noqa: E731
        self._save("write", work, creates=if_absent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        self._save("append", lambda: self._inner.append(key, offset, data), creates=offset == 0)

    def delete(self, prefix: str) -> None:
        self._save("delete", lambda: self._inner.delete(prefix))

    def _load(self, operation: str, work: Callable[[], T]) -> T:
        if self._trouble(operation):
            raise DataLoadError(f"The storage {self.uri} failed on purpose: {operation}.")
        return work()

    def _save(self, operation: str, work: Callable[[], None], *, creates: bool = False) -> None:
        trouble = self._trouble(operation)
        if not trouble or (trouble == "after" and not creates):
            work()
        if trouble:
            raise DataSaveError(f"The storage {self.uri} failed on purpose: {operation}.")


def every(count: int) -> Callable[[str], Trouble]:
    """Trouble with every ``count``-th operation, before and after it in turns."""
    calls = 0

    def trouble(operation: str) -> Trouble:
        nonlocal calls
        calls += 1
        if calls % count:
            return ""
        return "before" if calls // count % 2 else "after"

    return trouble
