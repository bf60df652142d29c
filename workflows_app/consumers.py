"""The websocket of a page: many topics on one connection, protocol `rayflow.v1`.

What is new comes from the hub, which reads every topic once for all pages of the process. Here it waits until the
client takes it: one frame a topic at most, later news are merged into it. So a slow client costs little
memory, hears of every change, and holds up nobody else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import deque
from contextlib import suppress
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import AnonymousUser, User
from django.utils import timezone

from workflows_app import access, live
from workflows_app.live import News, Subscription
from workflows_app.live_hub import Hub, hub
from workflows_app.problems import Forbidden, Invalid, Problem

logger = logging.getLogger(__name__)

SUBPROTOCOL = "rayflow.v1"
MAX_TOPICS = 50
MAX_SOCKETS = 10  # of one account in one process
MAX_SUBSCRIPTIONS = 120  # of one socket in a minute
MAX_FRAME = 64 * 1024
HEARTBEAT_SECONDS = 5.0
RECHECK_SECONDS = 60.0
SEND_SECONDS = 10.0

UNAUTHENTICATED, FORBIDDEN, TOO_SLOW, TOO_MANY = 4401, 4403, 4408, 4429


class LiveConsumer(AsyncWebsocketConsumer):
    """One socket of one page or program."""

    async def connect(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.outbox: dict[str, tuple[Subscription, News]] = {}
        self.wake = asyncio.Event()
        self.pump: asyncio.Task[None] | None = None
        self.hub: Hub | None = None
        self.times: deque[float] = deque(maxlen=MAX_SUBSCRIPTIONS)
        self.user: User | AnonymousUser = self.scope["user"]
        offered = self.scope.get("subprotocols", [])
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        refused = await self._refusal()
        if refused is not None:
            # After accepting, because a browser shows no close code of a refused handshake.
            await self.close(refused)
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

    async def _refusal(self) -> int | None:
        """The close code for who may not watch, or has too many sockets."""
        if not self.user.is_authenticated:
            return UNAUTHENTICATED
        if not await self._may_watch():
            return FORBIDDEN
        everybody = hub()
        mine = [p for p in everybody.pages if getattr(p, "user", None) == self.user]
        if len(mine) >= MAX_SOCKETS:
            return TOO_MANY
        self.hub = everybody
        await everybody.enter(self)
        return None

    async def disconnect(self, code: int) -> None:
        if self.hub is not None:
            await self.hub.leave(self)
        if self.pump is not None:
            self.pump.cancel()
            with suppress(asyncio.CancelledError):
                await self.pump

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
        now = time.monotonic()
        if len(self.times) == MAX_SUBSCRIPTIONS and now - self.times[0] < 60:
            raise Invalid(f"One connection can subscribe {MAX_SUBSCRIPTIONS} times a minute.")
        self.times.append(now)
        topic = live.parse(text, params)
        await self._unsubscribe(sub_id)
        payload = await database_sync_to_async(access.can)(self.user, "view_payload")
        subscription = Subscription(sub_id, topic, rev=after, payload=payload)
        self.subscriptions[sub_id] = subscription
        if self.hub is not None:
            await self.hub.listen_to(subscription)

    async def _unsubscribe(self, sub_id: str) -> None:
        gone = self.subscriptions.pop(sub_id, None)
        self.outbox.pop(sub_id, None)
        if gone is not None and self.hub is not None:
            await self.hub.forget(gone)

    # --- what is sent -----------------------------------------------------------------------

    def put(self, subscription: Subscription, news: News) -> None:
        """Send news of the hub as soon as the client takes it."""
        waiting = self.outbox.get(subscription.id)
        if waiting is not None and waiting[0] is subscription:
            news = live.merged(subscription.topic, waiting[1], news)
        self.outbox[subscription.id] = (subscription, news)
        self.wake.set()

    async def _run(self) -> None:
        now = time.monotonic()
        next_beat, next_check = now + HEARTBEAT_SECONDS, now + RECHECK_SECONDS
        try:
            while True:
                self.wake.clear()
                if not self.outbox:
                    pause = max(0.0, min(next_beat, next_check) - time.monotonic())
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self.wake.wait(), pause)
                now = time.monotonic()
                if now >= next_check:
                    next_check = now + RECHECK_SECONDS
                    if not await self._may_watch():
                        await self.close(FORBIDDEN)
                        return
                await self._send_news()
                if now >= next_beat:
                    next_beat = now + HEARTBEAT_SECONDS
                    await self._beat()
        except TimeoutError:
            await self.close(TOO_SLOW)
        except Exception:
            # Mostly that the client has just gone, which every server tells in its own way.
            logger.info("A live connection of %s ended", self.user, exc_info=True)
            with suppress(Exception):
                await self.close(1011)

    async def _send_news(self) -> None:
        while self.outbox:
            sub_id = next(iter(self.outbox))
            subscription, news = self.outbox.pop(sub_id)
            frame = {"type": news.type, "id": sub_id, "topic": subscription.topic.text}
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
