"""Event loops that listeners of users share, and a watch over them.

A listener that blocks holds up its own thread alone: the others that were on its loop begin again on a new
one. That is what a crash would do to them, too, so they must stand it.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

WATCH_SECONDS = 0.1
BLOCKED_SECONDS = 0.5

Make = Callable[[], Coroutine[Any, Any, Any]]


@dataclass(slots=True, eq=False)
class _Listening:
    """One coroutine, however often it has to begin. ``turn`` tells the present one from older ones."""

    make: Make
    result: Future[Any]
    turn: int = 0
    task: asyncio.Task[None] | None = None


class Loops:
    """Runs coroutines of users. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._listening: dict[str, _Listening] = {}
        self._loop = _Loop()
        threading.Thread(target=self._watch, name="rayflow-watch", daemon=True).start()

    def run(self, name: str, make: Make) -> Future[Any]:
        """Run the coroutine that ``make`` makes, perhaps more than once. ``name`` is for :meth:`stop`."""
        listening = _Listening(make, Future())
        with self._lock:
            self._listening[name] = listening
            self._begin(listening)
        listening.result.add_done_callback(lambda _: self._forget(name, listening))
        return listening.result

    def stop(self, name: str, *, force: bool) -> None:
        """Cancel a coroutine; with ``force`` do not wait for it to end."""
        with self._lock:
            listening = self._listening.get(name)
            if listening is None:
                return
            task = listening.task
            if force or task is None:
                _answer(listening.result, asyncio.CancelledError())
            if task is not None:
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _begin(self, listening: _Listening) -> None:
        listening.turn += 1
        loop, turn = self._loop, listening.turn

        async def listen() -> None:
            listening.task = asyncio.current_task()
            try:
                value, error = await listening.make(), None
            except BaseException as raised:  # of the user's; whoever waits for the result gets it
                value, error = None, raised
            if listening.turn == turn:
                _answer(listening.result, error, value)

        loop.start(listen)

    def _forget(self, name: str, listening: _Listening) -> None:
        with self._lock:
            if self._listening.get(name) is listening:
                del self._listening[name]

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            if self._loop.is_blocked():
                self._move()

    def _move(self) -> None:
        """Leave a loop that does not turn to whoever blocks it."""
        with self._lock:
            blocked, self._loop = self._loop, _Loop()
            culprit = asyncio.current_task(blocked.loop)
            for listening in self._listening.values():
                task = listening.task
                if task is None or task.get_loop() is not blocked.loop or task is culprit:
                    continue
                blocked.loop.call_soon_threadsafe(task.cancel)  # as soon as it turns again
                listening.task = None
                self._begin(listening)


class _Loop:
    """An event loop in a thread of its own."""

    _numbers = itertools.count(1)

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._asked_at: float | None = None
        name = f"rayflow-listeners-{next(self._numbers)}"
        threading.Thread(target=self.loop.run_forever, name=name, daemon=True).start()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine beside the others."""
        asyncio.run_coroutine_threadsafe(work(), self.loop)

    def is_blocked(self) -> bool:
        """Whether it has not turned for a while. Asks, so call it again and again."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self.loop.call_soon_threadsafe(self._turned)
            return False
        return now - self._asked_at > BLOCKED_SECONDS

    def _turned(self) -> None:
        self._asked_at = None


def _answer(result: Future[Any], error: BaseException | None, value: Any = None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(value)
    else:
        result.set_exception(error)
