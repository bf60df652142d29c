"""The engine's view of the index: all entries in memory, changes committed in groups."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import psutil

from rayflow.core.records import WorkflowStatus
from rayflow.errors import (
    DataLoadError,
    DataSaveError,
    FencedError,
    RootInUseError,
    StorageError,
    WorkflowNotFoundError,
)
from rayflow.runtime.commits import Commits, Io
from rayflow.storage import partition
from rayflow.storage.index import DELETED, SUSPENDED, Index, IndexEntry, Owner
from rayflow.storage.partition import Partition
from rayflow.storage.rebuild import entries_from_journals
from rayflow.storage.root import check_writable, mark
from rayflow.storage.store import Store

logger = logging.getLogger("rayflow.engine")

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 5.0
TRIES = 3
TRY_AGAIN_SECONDS = 0.2


class Registry:
    """Which workflows an engine has. Changes are durable when :meth:`put` and :meth:`remove` return.

    ``number``: of the engine, among those that share the root. The first one settles how many they are.
    """

    def __init__(self, store: Store, instance: str, io: Io, number: int = 0) -> None:
        self.entries: dict[str, IndexEntry] = {}
        self._store, self._index, self._io = store, Index(store, number), io
        self._instance, self._number = instance, number
        self.commits = Commits(store, self._index, io)
        self.part = Partition(number)

    async def take_over(self, count: int | None = None) -> bool:
        """Become the owner of the root, or of the engine's part of it.

        Args:
            count: how many engines are to share the root; None leaves it as it is.

        Returns whether the last owner was this very actor, before Ray restarted it: then what was
        live is to be carried on, else it has become RESUMABLE.

        Raises:
            RootInUseError: another engine gives signs of life.
            StorageError: the root cannot be used.
        """
        await self._insist(lambda: check_writable(self._store))
        is_restart = await self._await_silence(self._index)
        await self._insist(lambda: self._store.own(self._number))
        self.part = Partition(self._number, await self._settled(count))
        was_live = None if is_restart else WorkflowStatus.RESUMABLE
        self.entries = await self._insist(
            lambda: self._index.take_over(was_live, entries_from_journals, self.part.has)
        )
        await self._insist(self._beat)
        if self._number == 0:
            await self._insist(lambda: mark(self._store, self._instance))
        return is_restart

    async def _settled(self, count: int | None) -> int:
        """How many engines share the root, from now on."""
        found: int = await self._insist(lambda: partition.count_of(self._store))
        if self._number > 0 or count in (None, found):
            return found
        for number in range(1, found):
            await self._await_silence(Index(self._store, number))
        await self._insist(lambda: partition.repartition(self._store, count))
        return count

    async def beat_for_ever(self) -> None:
        """Say every second that the owner is alive.

        Raises:
            FencedError: another engine has taken the root over meanwhile.
        """
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                seen: Owner | None = await self._io(self._index.owner)
                if seen is not None and seen.instance != self._instance:
                    # The epoch decides: a late heartbeat of an engine that was overtaken says nothing.
                    await self._io(self._index.require_owned)
                await self._io(self._beat)
            except FencedError:
                raise
            except StorageError:
                continue  # the journals find out; a missed heartbeat alone changes nothing

    async def put(
        self, workflow_id: str, status: WorkflowStatus, *, was: str | None = None
    ) -> None:
        """Record the status of a workflow, and of a RESUMABLE one what it ``was``."""
        entry = self.entry_of(workflow_id, status, was=was)
        await self.commits.entry(entry)
        self.entries[workflow_id] = entry

    async def follow(
        self,
        workflow_id: str,
        status: WorkflowStatus,
        was: str | None,
        written: IndexEntry | None = None,
    ) -> None:
        """Like :meth:`put`, for what the journal says already.

        It counts also if the storage refuses the index; the next owner reads it from the journal.
        ``written``: what was committed together with that.
        """
        if written is not None and (written.status, written.was) == (status, was):
            self.entries[workflow_id] = written
            return
        entry = self.entry_of(workflow_id, status, was=was)
        try:
            await self._insist_on(lambda: self.commits.entry(entry))
        except StorageError as error:
            logger.error("the index does not know the end of workflow '%s': %s", workflow_id, error)
        self.entries[workflow_id] = entry

    def entry(self, workflow_id: str) -> IndexEntry:
        """What is known of a workflow.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        entry = self.entries.get(workflow_id)
        if entry is None:
            raise WorkflowNotFoundError(workflow_id)
        return entry

    def has_ended_well(self, workflow_id: str) -> bool:
        """Whether it is there, and SUCCESSFUL."""
        entry = self.entries.get(workflow_id)
        return entry is not None and entry.status == WorkflowStatus.SUCCESSFUL

    async def remove(self, workflow_id: str) -> None:
        """Forget a workflow."""
        entry = replace(self.entries[workflow_id], status=DELETED, changed_at=time.time())
        await self.commits.entry(entry)
        self.entries.pop(workflow_id, None)

    @property
    def first_epoch(self) -> int:
        """See :attr:`rayflow.storage.index.Index.first_epoch`."""
        return self._index.first_epoch

    def require_owned(self) -> None:
        """Does storage I/O. Call it before anything is deleted.

        Raises:
            FencedError: another engine owns the root now.
        """
        self._index.require_owned()

    async def require_root(self) -> None:
        """Look whether somebody else has the root, who may have been noticed by a workflow first.

        Raises:
            RootInUseError: another engine owns the root now.
        """
        try:
            await self._io(self.require_owned)
        except FencedError:
            raise lost_root(self._store) from None
        except StorageError as error:
            logger.warning("nobody knows who owns the root now: %s", error)

    def interrupted(self) -> list[str]:
        """Workflows to carry on with: running ones before pending ones, older before younger."""
        live = [e for e in self.entries.values() if WorkflowStatus(e.status).is_live]
        live.sort(key=lambda e: (e.status == WorkflowStatus.PENDING, e.created_at))
        return [entry.workflow_id for entry in live]

    def resumable(self, include_failed: bool) -> list[IndexEntry]:
        """Those that ``resume_all`` is about."""
        wanted = {WorkflowStatus.RESUMABLE, *([WorkflowStatus.FAILED] if include_failed else [])}
        # What somebody has stopped is for somebody to resume.
        return [e for e in self.entries.values() if e.status in wanted and e.was != SUSPENDED]

    async def _insist(self, work: Callable[[], Any]) -> Any:
        """Storage I/O of a start. One failure is no reason to refuse everybody; several are."""
        return await self._insist_on(lambda: self._io(work))

    async def _insist_on(self, work: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(TRIES - 1):
            try:
                return await work()
            except (DataSaveError, DataLoadError) as error:
                logger.warning("%s Trying again.", error)
                await asyncio.sleep(TRY_AGAIN_SECONDS)
        return await work()

    def entry_of(
        self,
        workflow_id: str,
        status: WorkflowStatus,
        *,
        accepted: dict[str, Any] | None = None,
        was: str | None = None,
    ) -> IndexEntry:
        """The entry of a workflow that has ``status`` now; ``accepted``: of a new one, what is recorded of it."""
        now, old = time.time(), self.entries.get(workflow_id)
        if old is None:
            accepted = accepted or {}
            definition, actor = accepted.get("definition"), accepted.get("actor") or {}
            name = actor.get("name")
            return IndexEntry(workflow_id, str(status), now, now, definition, actor=name)
        return replace(old, status=str(status), changed_at=now, was=was)

    def _beat(self) -> None:
        self._index.beat(Owner(self._instance, _here(), time.time()))

    async def _await_silence(self, index: Index) -> bool:
        """A fresh heartbeat that stays still is that of a dead engine; one that moves is not.

        Returns whether it is that of this very actor, before Ray restarted it.
        """
        seen: Owner | None = await self._insist(index.owner)
        if seen is None or seen.instance == self._instance:
            return seen is not None
        if not seen.is_fresh or _is_dead(seen):
            return False
        deadline = time.monotonic() + SILENCE_SECONDS
        while time.monotonic() < deadline:
            await asyncio.sleep(BEAT_SECONDS / 2)
            now = await self._io(index.owner)
            if now is not None and now.time != seen.time:
                raise RootInUseError(
                    f"The storage {self._store.uri} is owned by a live engine ({now.cluster}). Two "
                    "engines must not share a root: stop the other cluster, or use another storage."
                )
        return False


def lost_root(store: Store) -> RootInUseError:
    """What an engine answers that was overtaken."""
    return RootInUseError(
        f"Another engine took the storage {store.uri} over while this one was silent. Use that engine's cluster, "
        "or stop it and connect again to continue here."
    )


def _here() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_dead(owner: Owner) -> bool:
    """Whether the owner was a process of this machine that does not exist any more."""
    host, _, pid = owner.cluster.rpartition(":")
    return host == socket.gethostname() and not psutil.pid_exists(int(pid))
