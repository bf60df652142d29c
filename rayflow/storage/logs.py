"""Logs of attempts: lines of JSON, written while the task runs, read by range.

A line is an object with ``t`` (Unix seconds), ``s`` (``out``, ``err`` or ``log``), ``l`` (the level of a
record of :mod:`logging`, else null) and ``m`` (the text). On a store that can append a log is one file, on any
other one object for each write, named by where it begins and how long it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from rayflow.storage import layout
from rayflow.storage.store import Store

NEWLINE = b"\n"
LONGEST_LINE = 128 * 1024  # bytes; what writes logs cuts lines far below
SCAN_BYTES = 1 << 20


class LogFile:
    """The log of one attempt."""

    def __init__(self, store: Store, workflow_id: str, task_id: str, attempt: int) -> None:
        self._store = store
        self._key = layout.log(workflow_id, task_id, attempt)

    @property
    def grows(self) -> bool:
        """Whether it is one file, so that short writes cost little."""
        return self._store.appends

    def append(self, data: bytes, offset: int | None = None) -> int:
        """Put ``data`` at the end and return where the log ends now.

        Args:
            offset: where the log ends, if the caller knows.

        Raises:
            DataSaveError: the storage refused.
            KeyError: the log has been deleted.
        """
        end = self.size() if offset is None else offset
        if self._store.appends:
            self._store.append(f"{self._key}.ndjson", end, data)
        else:
            self._store.write(f"{self._key}/{end:020d}-{len(data)}.ndjson", [data])
        return end + len(data)

    def size(self) -> int:
        """Length in bytes; 0 if nothing has been written.

        Raises:
            DataLoadError: the storage failed.
        """
        if self._store.appends:
            return self._store.size(f"{self._key}.ndjson") or 0
        parts = self._parts()
        return parts[-1].end if parts else 0

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``, fewer at the end of the log.

        Raises:
            DataLoadError: the storage failed.
            KeyError: the log is gone.
        """
        if end <= start:
            return b""
        if self._store.appends:
            return self._store.read_part(f"{self._key}.ndjson", start, end - start)
        return b"".join(self._read_parts(start, end))

    def lines(self, start: int, end: int) -> tuple[int, list[bytes], int]:
        """The whole lines that begin in ``start``..``end``, where the first begins and the last ends."""
        if end <= start:
            return start, [], start
        origin = max(0, start - 1)
        data = self.read(origin, end + LONGEST_LINE)
        begin = 0 if start == 0 else _after(data, data.find(NEWLINE))
        if begin >= end - origin:
            return origin + begin, [], origin + begin
        found = data.find(NEWLINE, end - origin - 1)
        stop = max(begin, (found if found >= 0 else data.rfind(NEWLINE)) + 1)
        return origin + begin, data[begin:stop].split(NEWLINE)[:-1], origin + stop

    def part(self, start: int, end: int) -> tuple[list[bytes], int, int, int]:
        """The lines that begin in a range, where they begin and end, and how long the log is now.

        A negative ``start`` counts from the end, and ``end`` may lie behind it.
        """
        size = self.size()
        first = max(0, size + start) if start < 0 else min(start, size)
        begin, lines, stop = self.lines(first, min(end, size))
        return lines, begin, stop, size

    def _parts(self) -> list[_Part]:
        names = (name for name, _ in self._store.list(self._key))
        return sorted((_Part.of(name) for name in names), key=lambda part: part.start)

    def _read_parts(self, start: int, end: int) -> Iterator[bytes]:
        parts = self._parts()
        first = max(0, bisect_right([part.start for part in parts], start) - 1)
        for part in parts[first:]:
            if part.start >= end:
                return
            if part.end > start:
                skip = max(0, start - part.start)
                length = min(end, part.end) - part.start - skip
                yield self._store.read_part(f"{self._key}/{part.name}", skip, length)


def _after(data: bytes, newline: int) -> int:
    return len(data) if newline < 0 else newline + 1


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    start: int
    end: int

    @classmethod
    def of(cls, name: str) -> _Part:
        start, length = name.removesuffix(".ndjson").split("-")
        return cls(name, int(start), int(start) + int(length))
