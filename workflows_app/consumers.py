"""The websocket of a page: many topics on one connection, protocol `rayflow.v1`.

A doorbell from the channel layer marks topics dirty; a tick shortly after looks at the dirty ones
and sends what is new. Doorbells may be lost, so every two seconds all topics are looked at. One
task per socket reads and sends, so at most one frame is on its way and a slow client never has a
queue: what it has not heard of yet is simply read later.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from contextlib import suppress
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User
from django.utils import timezone
from redis.exceptions import RedisError

from workflows_app import live
from workflows_app.after_commit import group_of
from workflows_app.problems import Forbidden, Invalid, Problem

logger = logging.getLogger(__name__)

SUBPROTOCOL = "rayflow.v1"
MAX_TOPICS = 50
MAX_FRAME = 64 * 1024
TICK_SECONDS = 0.1
# Topics that many changes touch are looked at less often.
SLOW_TOPICS = {"list": 0.25, "overview": 1.0}
POLL_SECONDS = 2.0
HEARTBEAT_SECONDS = 5.0
RECHECK_SECONDS = 60.0
SEND_SECONDS = 10.0

UNAUTHENTICATED, FORBIDDEN, TOO_SLOW = 4401, 4403, 4408


class LiveConsumer(AsyncWebsocketConsumer):
    """One socket of one page or program."""

    async def connect(self) -> None:
        self.subscriptions: dict[str, live.Subscription] = {}
        self.dirty: dict[str, float] = {}
        self.groups_joined: set[str] = set()
        self.wake = asyncio.Event()
        self.pump: asyncio.Task[None] | None = None
        self.user: User = self.scope["user"]
        offered = self.scope.get("subprotocols", [])
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        if not self.user.is_authenticated:
            # After accepting, because a browser shows no close code of a refused handshake.
            await self.close(UNAUTHENTICATED)
            return
        if not await self._may_watch():
            await self.close(FORBIDDEN)
            return
        await self._send_frame(
            {
                "type": "welcome",
                "session": uuid.uuid4().hex,
                "server_time": timezone.now().isoformat(),
                "max_subs": MAX_TOPICS,
                "heartbeat": HEARTBEAT_SECONDS,
            }
        )
        self.pump = asyncio.create_task(self._run())

    async def disconnect(self, code: int) -> None:
        if self.pump is not None:
            self.pump.cancel()
            with suppress(asyncio.CancelledError):
                await self.pump
        for group in list(self.groups_joined):
            await self._leave(group)

    # --- frames from the client -------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        frame_id = None
        try:
            frame = _parsed(text_data)
            frame_id = frame.get("id")
            await self._handle(frame)
        except Problem as problem:
            await self._send_frame({"type": "err", "id": frame_id, "problem": problem.as_dict()})

    async def _handle(self, frame: dict[str, Any]) -> None:
        match frame.get("type"):
            case "sub":
                await self._subscribe(frame)
            case "unsub":
                await self._unsubscribe(str(frame.get("id")))
            case "ping":
                await self._send_frame({"type": "pong", "t": frame.get("t")})
            case "hello":
                return  # Tells us who is there; nothing depends on it.
            case other:
                raise Invalid(f"There is no frame type {other!r}; use hello, sub, unsub or ping.")

    async def _subscribe(self, frame: dict[str, Any]) -> None:
        sub_id, text = frame.get("id"), frame.get("topic")
        params, after = frame.get("params") or {}, frame.get("after") or 0
        if not (isinstance(sub_id, str) and isinstance(text, str) and isinstance(params, dict)):
            raise Invalid("A subscription needs an id and a topic, both text.")
        if not isinstance(after, int):
            raise Invalid("'after' is the number of the last event seen.")
        if sub_id not in self.subscriptions and len(self.subscriptions) >= MAX_TOPICS:
            raise Invalid(f"One connection can have {MAX_TOPICS} subscriptions; end some first.")
        topic = live.parse(text, params)
        # First the group, then the snapshot: a change in between is heard rather than missed.
        await self._join(group_of(topic.text))
        self.subscriptions[sub_id] = live.Subscription(sub_id, topic, rev=after)
        self._mark(sub_id, delay=0.0)

    async def _unsubscribe(self, sub_id: str) -> None:
        gone = self.subscriptions.pop(sub_id, None)
        self.dirty.pop(sub_id, None)
        if gone is None:
            return
        group = group_of(gone.topic.text)
        if all(group_of(each.topic.text) != group for each in self.subscriptions.values()):
            await self._leave(group)

    # --- doorbells --------------------------------------------------------------------------

    async def doorbell(self, event: dict[str, Any]) -> None:
        """The follower or a service says that something has changed."""
        group = group_of(event["topic"])
        for sub_id, subscription in self.subscriptions.items():
            if group_of(subscription.topic.text) == group:
                self._mark(sub_id, delay=SLOW_TOPICS.get(subscription.topic.kind, TICK_SECONDS))

    def _mark(self, sub_id: str, *, delay: float) -> None:
        # The first mark decides, so that a steady stream of doorbells cannot put off the look.
        self.dirty.setdefault(sub_id, time.monotonic() + delay)
        self.wake.set()

    async def _join(self, group: str) -> None:
        if group in self.groups_joined:
            return
        try:
            await self.channel_layer.group_add(group, self.channel_name)
        except (RedisError, OSError) as error:
            logger.warning("No doorbells for %s now (%s); polling", group, error)
            return
        self.groups_joined.add(group)

    async def _leave(self, group: str) -> None:
        self.groups_joined.discard(group)
        with suppress(RedisError, OSError):
            await self.channel_layer.group_discard(group, self.channel_name)

    # --- the one task that reads and sends --------------------------------------------------

    async def _run(self) -> None:
        now = time.monotonic()
        next_poll, next_beat = now + POLL_SECONDS, now + HEARTBEAT_SECONDS
        next_check = now + RECHECK_SECONDS
        try:
            while True:
                await self._sleep_until(min([next_poll, next_beat, *self.dirty.values()]))
                now = time.monotonic()
                if now >= next_check:
                    next_check = now + RECHECK_SECONDS
                    if not await self._may_watch():
                        await self.close(FORBIDDEN)
                        return
                is_poll = now >= next_poll
                await self._look(now, everything=is_poll)
                if is_poll:
                    next_poll = now + POLL_SECONDS
                if now >= next_beat:
                    next_beat = now + HEARTBEAT_SECONDS
                    await self._beat()
        except TimeoutError:
            await self.close(TOO_SLOW)
        except Exception:
            logger.exception("A live connection of %s ended", self.user)
            await self.close(1011)

    async def _sleep_until(self, moment: float) -> None:
        self.wake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), max(0.0, moment - time.monotonic()))

    async def _look(self, now: float, *, everything: bool) -> None:
        due = [
            key for key in self.subscriptions if everything or self.dirty.get(key, now + 1) <= now
        ]
        for key in due:
            self.dirty.pop(key, None)
        if everything:
            for subscription in list(self.subscriptions.values()):
                await self._join(group_of(subscription.topic.text))
        if not due:
            return
        subscriptions = [self.subscriptions[key] for key in due if key in self.subscriptions]
        for subscription, news in await database_sync_to_async(live.look)(self.user, subscriptions):
            if self.subscriptions.get(subscription.id) is not subscription:
                continue  # It was ended or replaced while the database was read.
            frame = {"type": news.type, "id": subscription.id, "topic": subscription.topic.text}
            await self._send_frame({**frame, "rev": news.rev, **news.extra, "data": news.data})

    async def _beat(self) -> None:
        heads = {key: each.rev for key, each in self.subscriptions.items()}
        await self._send_frame({"type": "hb", "t": timezone.now().isoformat(), "heads": heads})

    async def _may_watch(self) -> bool:
        session = self.scope.get("session")
        key = session.session_key if session is not None else None
        return bool(await database_sync_to_async(_is_welcome)(self.user.pk, session, key))

    async def _send_frame(self, frame: dict[str, Any]) -> None:
        """Send one frame of bounded size, to a client that takes it in bounded time."""
        text = json.dumps(frame, separators=(",", ":"), default=str)
        if len(text) > MAX_FRAME:
            # The number alone tells the client to fetch what it shows.
            text = json.dumps({**frame, "data": None, "truncated": True}, default=str)
        await asyncio.wait_for(self.send(text_data=text), SEND_SECONDS)


def _parsed(text: str | None) -> dict[str, Any]:
    if text is None or len(text) > MAX_FRAME:
        raise Invalid(f"A frame is JSON text of at most {MAX_FRAME} bytes.")
    try:
        frame = json.loads(text)
    except ValueError as error:
        raise Invalid(f"The frame is not JSON: {error}.") from error
    if not isinstance(frame, dict):
        raise Invalid("A frame is a JSON object with a 'type'.")
    return frame


def _is_welcome(user_id: int, session: Any, session_key: str | None) -> bool:
    """Whether the account may still watch, and its session (if it came with one) still exists."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or (session_key is not None and not session.exists(session_key)):
        return False
    try:
        live.check(user)
    except Forbidden:
        return False
    return True
