"""A local storage that writes down every operation: what, where, by which process and thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rayflow.errors import DataLoadError
from rayflow.storage.local import LocalStore
from rayflow.storage.store import Buffer, Store

EVENT_LOOP = "event loop"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the store."""

    name: str
    key: str
    pid: int
    thread: str


def store(path: str) -> Store:
    """A factory for ``custom://``."""
    return RecordedStore(path)


def operations(root: Path) -> list[Operation]:
    """What was done below ``root``, without the heartbeat."""
    lines = [line.split("\t") for line in _log(str(root)).read_text().splitlines()]
    found = [Operation(name, key, int(pid), thread) for name, key, pid, thread in lines]
    return [operation for operation in found if operation.key != "index/owner.json"]


def meeting_of(root: str | Path) -> Path:
    """While this folder is there, nobody can look at a journal unless another one is looked at too."""
    return Path(f"{root}.meeting")


def _meet(meeting: Path, prefix: str) -> None:
    (meeting / prefix.replace("/", " ")).touch()
    deadline = time.monotonic() + 20
    while len(list(meeting.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise DataLoadError(f"Nobody looked at another journal while '{prefix}' was open.")
        time.sleep(0.02)


def _thread() -> str:
    """The name of this thread, or ``EVENT_LOOP`` if an event loop waits for what it does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return threading.current_thread().name
    return EVENT_LOOP


def _log(root: str) -> Path:
    return Path(f"{root}.operations")


class RecordedStore(LocalStore):
    """Like :class:`LocalStore`."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._recorded_root = root

    def __reduce__(self) -> tuple[type[RecordedStore], tuple[str]]:
        return RecordedStore, (self._recorded_root,)

    def read(self, key: str, offset: int = 0) -> bytes:
        self._record("read", key)
        return super().read(key, offset)

    def view(self, key: str) -> Buffer:
        self._record("view", key)
        return super().view(key)

    def size(self, key: str) -> int | None:
        self._record("size", key)
        return super().size(key)

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        self._record("write", key)
        super().write(key, parts, if_absent=if_absent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        self._record("append", key)
        super().append(key, offset, data)

    def put(self, key: str, offset: int, data: Buffer, *, may_exist: bool = False) -> int:
        self._record("append", key)
        return super().put(key, offset, data, may_exist=may_exist)

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        self._record("list", prefix)
        meeting = meeting_of(self._recorded_root)
        if prefix.endswith("/journal") and meeting.exists():
            _meet(meeting, prefix)
        return super().list(prefix)

    def delete(self, prefix: str) -> None:
        self._record("delete", prefix)
        super().delete(prefix)

    def _record(self, name: str, key: str) -> None:
        line = f"{name}\t{key}\t{os.getpid()}\t{_thread()}\n"
        with _log(self._recorded_root).open("a") as log:
            log.write(line)
