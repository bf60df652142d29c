"""What the engines of a root ask of each other, and what the first one asks of all for a program."""

from __future__ import annotations

import asyncio
import logging
import queue
from abc import ABC, abstractmethod
from contextlib import suppress

from rayflow.config import Limits
from rayflow.core.records import WorkflowStatus
from rayflow.errors import (
    EngineUnavailableError,
    StorageError,
    WorkflowNotResumableError,
    WorkflowRunningError,
)
from rayflow.runtime.feed import Changes, Feed
from rayflow.runtime.floor import Floor
from rayflow.runtime.intake import Opened
from rayflow.runtime.peers import Peers
from rayflow.runtime.places import FarPlaces, Held, OwnPlaces
from rayflow.runtime.registry import Registry
from rayflow.storage.index import IndexEntry

logger = logging.getLogger("rayflow.engine")

NEWS_SECONDS = 0.05  # for so long an engine gathers what has changed before it tells the first one
AGAIN_SECONDS = 1.0


class PeerCalls(ABC):
    """The part of the engine that is about the engines of its root."""

    _floor: Floor
    _registry: Registry
    _peers: Peers
    _places: OwnPlaces | FarPlaces
    _feed: Feed
    _limits: Limits

    @abstractmethod
    async def start(self) -> None:
        """Take over the root, once."""

    @abstractmethod
    async def resume(self, workflow_id: str, listener: str | None = None) -> None:
        """Continue a workflow from its checkpoints."""

    @abstractmethod
    def _adopt(self, workflow_id: str, *, resume: bool) -> Opened:
        """Take a workflow from its journal."""

    async def resume_all(self, include_failed: bool, listener: str | None = None) -> list[str]:
        """Resume all RESUMABLE workflows of all engines, on request the FAILED ones too. Returns their ids.

        Those that were running come before those that were pending. One that cannot be resumed, or for
        which there is no place within the limits, is logged and left out.
        """
        await self.start()
        found = await self._peers.everywhere("resumable", include_failed)
        entries = sorted((e for some in found for e in some), key=lambda entry: entry.created_at)
        waited = [e.workflow_id for e in entries if e.was == WorkflowStatus.PENDING]
        wanted = [e.workflow_id for e in entries if e.was != WorkflowStatus.PENDING]
        resumed = set(await self._resume_each(wanted, listener))
        resumed |= set(await self._resume_each(waited, listener))
        return [workflow_id for workflow_id in [*wanted, *waited] if workflow_id in resumed]

    async def _resume_each(self, workflow_ids: list[str], listener: str | None) -> list[str]:
        """Resume workflows of all engines, those of each in this order."""
        shares: dict[int, list[str]] = {}
        for workflow_id in workflow_ids:
            shares.setdefault(self._peers.of(workflow_id), []).append(workflow_id)
        asked = (
            self._peers.ask(number, "resume_these", share, listener)
            for number, share in shares.items()
        )
        return [workflow_id for resumed in await asyncio.gather(*asked) for workflow_id in resumed]

    async def resumable(self, include_failed: bool) -> list[IndexEntry]:
        """The workflows of this engine that ``resume_all`` is about."""
        await self.start()
        return self._registry.resumable(include_failed)

    async def resume_these(self, workflow_ids: list[str], listener: str | None) -> list[str]:
        """Resume workflows of this engine, as far as that is possible. Returns the ids of those."""
        await self.start()
        resumed: list[str] = []
        left = workflow_ids
        while left:  # each takes its place before it waits, also one that then gives it back
            tries = await asyncio.gather(*(self._resume_if_possible(i, listener) for i in left))
            resumed += [i for i, done in zip(left, tries, strict=True) if done]
            left = [i for i, done in zip(left, tries, strict=True) if done is None]
            if False not in tries:
                break
        for workflow_id in left:
            logger.warning("not resumed: no place for workflow '%s' in the queue", workflow_id)
        return resumed

    async def _resume_if_possible(self, workflow_id: str, listener: str | None) -> bool | None:
        """Whether it has been resumed; None if there is no place for it."""
        try:
            await self.resume(workflow_id, listener)
        except (WorkflowNotResumableError, WorkflowRunningError, StorageError) as error:
            logger.warning("not resumed: %s", error)
            return False
        except queue.Full:
            return None
        return True

    async def list_workflows(self) -> list[tuple[str, str]]:
        """All ids with their status: RESUMABLE ones last, formerly running before pending."""
        await self.start()
        found = await self._peers.everywhere("listing")
        listing = [each for some in found for each in some]
        listing.sort(key=lambda each: each[2])
        return [(workflow_id, status) for workflow_id, status, _ in listing]

    async def listing(self) -> list[tuple[str, str, tuple[bool, bool]]]:
        """The workflows of this engine: the id, the status, and by what they are sorted."""
        await self.start()
        return [
            (e.workflow_id, self._floor.status(e.workflow_id, e.status), _place(e))
            for e in self._registry.entries.values()
        ]

    async def known(self, workflow_id: str) -> IndexEntry | None:
        """What is known of a workflow of this engine; None if there is none."""
        await self.start()
        return self._registry.entries.get(workflow_id)

    async def changes(self, cursor: str | None, timeout: float) -> Changes:
        """Which workflows changed behind ``cursor``; a long poll of ``timeout`` seconds. Of the first engine."""
        await self.start()
        return await self._feed.changes(cursor, timeout)

    async def rung(self, workflow_ids: list[str]) -> None:
        """Workflows of another engine have changed. Of the first engine."""
        for workflow_id in workflow_ids:
            self._feed.ring(workflow_id)

    async def _tell_news(self) -> None:
        """Let the first engine know what changes here, since programs ask only that one."""
        while True:
            changed = await self._feed.taken()
            try:
                await self._peers.ask(0, "rung", changed)
            except EngineUnavailableError:  # the next one makes everybody look anew
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(NEWS_SECONDS)

    async def enter(self, workflow_id: str, token: str) -> tuple[bool, int]:
        """A place for a workflow of another engine, and whose reign it is; of the first engine.

        See :mod:`rayflow.runtime.places`.

        Raises:
            queue.Full: there is none.
        """
        await self.start()
        places = self._own_places
        return places.enter_for(workflow_id, token), places.reign

    async def leave(self, workflow_id: str, token: str) -> None:
        """A workflow of another engine does not need its place any more; of the first engine."""
        await self.start()
        self._own_places.leave_for(workflow_id, token)

    async def settle(self, number: int, kept: dict[str, str]) -> None:
        """Another engine has been started anew, and still needs these places; of the first engine."""
        await self.start()
        self._own_places.keep_only(kept, lambda workflow_id: self._peers.of(workflow_id) == number)

    async def promote(self, workflow_id: str, reign: int) -> None:
        """A workflow of this engine has a slot now."""
        if isinstance(self._places, FarPlaces):
            self._places.promoted(workflow_id, reign)

    async def holdings(self, reign: int) -> list[Held]:
        """The places that this engine has been given. It need not have started."""
        return self._places.holdings(reign) if isinstance(self._places, FarPlaces) else []

    async def _carry_on(self, interrupted: list[str]) -> None:
        """Drive workflows again, each in the place that it had."""
        if isinstance(self._places, OwnPlaces):
            self._places.reign = self._registry.first_epoch  # higher than that of any owner before
        held = await self._held_elsewhere()
        if held:
            self._own_places.restore(held, is_running=True)
        for workflow_id in interrupted:
            # Taken in the order in which they came, so the limits give the same split as before.
            await self._recover(workflow_id)
        if held:
            self._own_places.restore(held, is_running=False)
        await self._settle()

    async def _recover(self, workflow_id: str) -> None:
        try:
            await self._floor.open(workflow_id, lambda: self._adopt(workflow_id, resume=False))
        except (
            StorageError,
            WorkflowNotResumableError,
            EngineUnavailableError,
            queue.Full,
        ) as error:
            logger.error("workflow '%s' cannot be recovered: %s", workflow_id, error)
            await self._registry.put(workflow_id, WorkflowStatus.RESUMABLE)
            self._feed.ring(workflow_id)

    async def _held_elsewhere(self) -> list[Held]:
        """The places that others have been given before the first engine, this one, was started anew."""
        held: list[Held] = []
        if self._registry.part.number > 0 or self._limits.running is None:
            return held
        for number in self._peers.others:
            try:
                held += await self._peers.ask(number, "holdings", self._own_places.reign)
            except EngineUnavailableError:
                continue
        return held

    async def _settle(self) -> None:
        """Give up the places that this engine had before it was started anew, and does not need now."""
        if not isinstance(self._places, FarPlaces):
            return
        kept = self._places.kept()
        with suppress(EngineUnavailableError):  # the next first engine asks what is held
            await self._peers.ask(0, "settle", self._registry.part.number, kept)

    def _promote(self, workflow_id: str) -> None:
        """Of the first engine: a workflow of any of them moves from the queue into a slot."""
        number = self._peers.of(workflow_id)
        if number == self._registry.part.number:
            self._floor.promote(workflow_id)
        else:
            self._floor.spawn(self._tell_promoted(number, workflow_id))

    async def _tell_promoted(self, number: int, workflow_id: str) -> None:
        try:
            await self._peers.ask(number, "promote", workflow_id, self._own_places.reign)
        except EngineUnavailableError as error:  # when it comes back it is told that it has a slot
            logger.warning("workflow '%s' has a slot, and nobody to use it: %s", workflow_id, error)

    @property
    def _own_places(self) -> OwnPlaces:
        assert isinstance(self._places, OwnPlaces)
        return self._places


def _place(entry: IndexEntry) -> tuple[bool, bool]:
    """RESUMABLE workflows come last, formerly running before formerly pending."""
    return entry.status == WorkflowStatus.RESUMABLE, entry.was == WorkflowStatus.PENDING
