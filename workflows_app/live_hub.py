"""All live pages of one process: which topics they listen to, when to look, and who is told.

A doorbell from the channel layer marks a topic; a tick shortly after reads all marked topics in one go and
tells every page what is new for it. Doorbells may be lost, so every two seconds all topics are read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from workflows_app import live
from workflows_app.after_commit import group_of
from workflows_app.live import News, Subscription

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.1
# Topics that many changes touch are looked at less often.
SLOW_TOPICS = {"list": 0.25, "overview": 1.0}
POLL_SECONDS = 2.0


class Page(Protocol):
    """What the hub needs of a socket."""

    subscriptions: dict[str, Subscription]

    def put(self, subscription: Subscription, news: News) -> None:
        """Send this as soon as the client takes it."""


class Hub:
    """The pages of one event loop. It works as long as there is one."""

    def __init__(self) -> None:
        self.pages: set[Page] = set()
        self._dirty: dict[str, float] = {}  # when a topic is to be read
        self._groups: dict[str, Counter[str]] = {}  # how many listen to each topic of a group
        self._joined: set[str] = set()
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._changing = asyncio.Lock()  # begins or ends the work

    async def enter(self, page: Page) -> None:
        """A page is there."""
        self.pages.add(page)
        async with self._changing:
            if not self._tasks:
                self._channel = await self._layer.new_channel()
                works = (self._listen(), self._run())
                self._tasks = [asyncio.create_task(work) for work in works]

    async def leave(self, page: Page) -> None:
        """A page is gone."""
        self.pages.discard(page)
        for subscription in list(page.subscriptions.values()):
            await self.forget(subscription)
        async with self._changing:
            if self.pages:
                return
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def listen_to(self, subscription: Subscription) -> None:
        """Be told of a topic. First its group, then the first look: a change in between is heard."""
        group = group_of(subscription.topic.text)
        self._groups.setdefault(group, Counter())[subscription.topic.text] += 1
        await self._join(group)
        self._mark(subscription.topic.text, 0.0)

    async def forget(self, subscription: Subscription) -> None:
        """A page does not listen to a topic any more."""
        topic, group = subscription.topic.text, group_of(subscription.topic.text)
        listening = self._groups.get(group, Counter())
        listening[topic] -= 1
        if listening[topic] <= 0:
            del listening[topic]
        if not listening:
            self._groups.pop(group, None)
            self._joined.discard(group)
            with suppress(RedisError, OSError):
                await self._layer.group_discard(group, self._channel)

    def _mark(self, topic: str, delay: float) -> None:
        # The first mark decides, so that a steady stream of doorbells cannot put off the look.
        when = time.monotonic() + delay
        self._dirty[topic] = min(self._dirty.get(topic, when), when)
        self._wake.set()

    async def _join(self, group: str) -> None:
        if group in self._joined:
            return
        try:
            await self._layer.group_add(group, self._channel)
        except (RedisError, OSError) as error:
            logger.warning("No doorbells for %s now (%s); polling", group, error)
            return
        self._joined.add(group)

    async def _listen(self) -> None:
        """Take doorbells: the follower or a service says that something has changed."""
        while True:
            try:
                bell = await self._layer.receive(self._channel)
            except (RedisError, OSError) as error:
                logger.warning("No doorbells now (%s); polling", error)
                await asyncio.sleep(POLL_SECONDS)
                continue
            for topic in self._groups.get(group_of(bell["topic"]), ()):
                self._mark(topic, SLOW_TOPICS.get(topic, TICK_SECONDS))

    async def _run(self) -> None:
        next_poll = time.monotonic() + POLL_SECONDS
        while True:
            self._wake.clear()
            pause = min([next_poll, *self._dirty.values()]) - time.monotonic()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(0.0, pause))
            now = time.monotonic()
            is_poll = now >= next_poll
            due = {topic for topic, when in self._dirty.items() if when <= now}
            for topic in due:
                del self._dirty[topic]
            if is_poll:
                next_poll = now + POLL_SECONDS
                for group in list(self._groups):
                    await self._join(group)
            wanted = [
                (page, subscription)
                for page in self.pages
                for subscription in page.subscriptions.values()
                if is_poll or subscription.topic.text in due
            ]
            if wanted:
                await self._look(wanted)

    async def _look(self, wanted: list[tuple[Page, Subscription]]) -> None:
        try:
            view = await database_sync_to_async(live.read)([s for _, s in wanted])
        except Exception:
            # Whatever it is, the next poll looks again; the pages show that nothing comes.
            logger.exception("The live topics cannot be read")
            return
        for page, subscription in wanted:
            if page.subscriptions.get(subscription.id) is not subscription:
                continue  # It was ended or replaced while the database was read.
            news = subscription.tell(view)
            if news is not None:
                page.put(subscription, news)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = Hub()
    return found
