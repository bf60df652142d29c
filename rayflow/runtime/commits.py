"""Group commit: what the workflows of an engine have to make durable at one moment is one write to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from rayflow.core.records import Record
from rayflow.runtime.surroundings import Writer
from rayflow.storage.index import Index, IndexEntry
from rayflow.storage.store import Appender, Store

MOST = 256  # in one group; others wait for it
MANY_RECORDS = 1_000  # which would keep others waiting

Io = Callable[[Callable[[], Any]], Awaitable[Any]]
Settle = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Job:
    """Records of one workflow, an entry of the index, or both; no entry is written without its records."""

    done: asyncio.Future[None]
    writer: Writer | None
    records: Sequence[Record]
    entry: IndexEntry | None
    settle: Settle | None = None
    error: Exception | None = None
    entry_error: Exception | None = None


class Commits:
    """Commits to the journals and the index of ``store``; what arrives during a commit goes into the next one."""

    def __init__(self, store: Store, index: Index, io: Io) -> None:
        self._store, self._index, self._io = store, index, io
        self._waiting: list[_Job] = []
        self._work: asyncio.Future[None] | None = None

    async def records(
        self, writer: Writer, records: Sequence[Record], entry: IndexEntry | None = None
    ) -> Exception | None:
        """Commit to a journal, and ``entry`` to the index with it.

        Returns what has kept the entry, and nothing else, from being written. Raises as
        :meth:`JournalWriter.commit`.
        """
        if self._store.appends and len(records) <= MANY_RECORDS:
            return await self._add(writer, records, entry)
        await self._io(lambda: writer.commit(records))  # each object is a request of its own
        return None if entry is None else await self._add(None, (), entry)

    async def entry(self, entry: IndexEntry) -> None:
        """Commit to the index. Raises as :meth:`Index.append`."""
        error = await self._add(None, (), entry)
        if error is not None:
            raise error

    async def _add(
        self, writer: Writer | None, records: Sequence[Record], entry: IndexEntry | None
    ) -> Exception | None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        job = _Job(done, writer, records, entry)
        self._waiting.append(job)
        if self._work is None:
            self._work = asyncio.ensure_future(self._flush())
        await done
        return job.entry_error

    async def _flush(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            try:
                await self._io(partial(self._commit, jobs))
            except Exception as error:
                for job in jobs:
                    job.error = error
            for job in jobs:
                if job.done.cancelled():
                    continue
                if job.error is None:
                    job.done.set_result(None)
                else:
                    job.done.set_exception(job.error)
        self._work = None

    def _commit(self, jobs: Sequence[_Job]) -> None:
        """Does storage I/O. Raises what concerns all ``jobs``; what concerns one of them stands there."""
        settle: Settle | None = None
        with self._store.together() as group:
            for job in jobs:
                try:
                    if job.writer is not None:
                        job.settle = job.writer.put(job.records, group)
                except Exception as error:
                    job.error = error
            indexed = [job for job in jobs if job.entry is not None and job.error is None]
            with _blaming(indexed):
                settle = self._put(indexed, group)
        with _blaming(indexed):
            if settle is not None:
                settle()
        for job in jobs:
            try:
                if job.settle is not None:
                    job.settle()
            except Exception as error:
                job.error = error

    def _put(self, jobs: Sequence[_Job], group: Appender) -> Settle | None:
        entries = [job.entry for job in jobs if job.entry is not None]
        return self._index.put(entries, group) if entries else None


@contextmanager
def _blaming(jobs: Sequence[_Job]) -> Iterator[None]:
    """An error in here is one of the entries of ``jobs``."""
    try:
        yield
    except Exception as error:
        for job in jobs:
            job.entry_error = error
