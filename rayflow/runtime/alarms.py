"""Calls of functions a moment later, unless they are cancelled: one thread for all of a process.

A ``threading.Timer`` is a thread of its own, which costs more than a short task does.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from functools import lru_cache

LOOKS_SECONDS = 0.05  # how often the thread looks, for as long as there is something to look at
_IDLE_LOOKS = 10


class Alarms(threading.Thread):
    """Calls functions when their time has come, at most ``LOOKS_SECONDS`` late. Safe to use from any thread."""

    def __init__(self) -> None:
        super().__init__(name="rayflow-alarms", daemon=True)
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._bell = threading.Event()
        self._sleeps = False

    def after(self, seconds: float, call: Callable[[], None]) -> int:
        """Have ``call`` called in ``seconds``, which must not take long; returns what :meth:`cancel` takes."""
        number = next(self._numbers)
        self._due[number] = time.monotonic() + seconds, call
        if self._sleeps:
            self._bell.set()
        return number

    def cancel(self, number: int) -> None:
        """Do not call it, if it has not been called yet."""
        self._due.pop(number, None)

    def run(self) -> None:
        """Look now and then, without being told: so that setting an alarm costs next to nothing."""
        looks = 0
        while True:
            looks = 0 if self._due else looks + 1
            if looks > _IDLE_LOOKS:
                self._sleep()
            time.sleep(self._pause())
            now = time.monotonic()
            for number, (due, call) in self._due.copy().items():
                if due <= now and self._due.pop(number, None) is not None:
                    call()

    def _pause(self) -> float:
        soonest = min((due for due, _ in self._due.copy().values()), default=None)
        if soonest is None:
            return LOOKS_SECONDS
        return min(LOOKS_SECONDS, max(0.0, soonest - time.monotonic()))

    def _sleep(self) -> None:
        """Until there is an alarm."""
        self._bell.clear()
        self._sleeps = True
        if not self._due:
            self._bell.wait()
        self._sleeps = False


@lru_cache(maxsize=1)
def alarms() -> Alarms:
    """Those of this process."""
    made = Alarms()
    made.start()
    return made
