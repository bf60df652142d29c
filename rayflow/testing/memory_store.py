"""A store in memory: a complete one, for tests that do not want to wait for a disk."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, Literal

from rayflow.errors import DataSaveError
from rayflow.storage.store import Buffer, Store


class MemoryStore(Store):
    """Keys in a dict. A pickled copy is a store of its own with the same content.

    With ``appends=False`` it is like an object store: every object is written whole.
    """

    def __init__(self, content: dict[str, bytes] | None = None, *, appends: bool = True) -> None:
        self.uri = "memory"
        self.appends = appends
        self.content = dict(content or {})
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.content, self.appends)

    def read(self, key: str, offset: int = 0) -> bytes:
        return self.content[key][offset:]

    def size(self, key: str) -> int | None:
        data = self.content.get(key)
        return None if data is None else len(data)

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        data = b"".join(parts)
        with self._lock:
            if if_absent and key in self.content:
                raise FileExistsError(key)
            self.content[key] = data

    def append(self, key: str, offset: int, data: Buffer) -> None:
        if not self.appends:
            raise DataSaveError(f"Cannot append to '{key}': objects are written whole.")
        with self._lock:
            if offset == 0 and key in self.content:
                raise FileExistsError(key)
            if offset and key not in self.content:
                raise KeyError(key)
            before = self.content.get(key, b"")[:offset]
            if len(before) < offset:
                raise DataSaveError(f"Cannot append to '{key}' at {offset}: it is shorter.")
            self.content[key] = before + bytes(data)

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        start = f"{prefix}/"
        found: dict[str, Literal["file", "folder"]] = {}
        for key in list(self.content):
            if key.startswith(start):
                name, _, below = key[len(start) :].partition("/")
                found[name] = "folder" if below else "file"
        return sorted(found.items())

    def delete(self, prefix: str) -> None:
        for key in list(self.content):
            if key == prefix or key.startswith(f"{prefix}/"):
                self.content.pop(key, None)


def _restore(content: dict[str, bytes], appends: bool) -> MemoryStore:
    return MemoryStore(content, appends=appends)
