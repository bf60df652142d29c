"""Calls of functions a moment later, unless they are cancelled: one thread for all of a process.

A ``threading.Timer`` is a thread of its own, which costs more than a short task does.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from functools import lru_cache


class Alarms(threading.Thread):
    """Calls functions when their time has come. Safe to use from any thread."""

    def __init__(self) -> None:
        super().__init__(name="rayflow-alarms", daemon=True)
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._sleeps = False

    def after(self, seconds: float, call: Callable[[], None]) -> int:
        """Have ``call`` called in ``seconds``, which must not take long; returns what :meth:`cancel` takes."""
        number = next(self._numbers)
        with self._changed:
            self._due[number] = time.monotonic() + seconds, call
            if self._sleeps:  # else it looks again soon enough: nobody waits for much longer than others
                self._changed.notify()
        return number

    def cancel(self, number: int) -> None:
        """Do not call it, if it has not been called yet."""
        self._due.pop(number, None)

    def run(self) -> None:
        """Wait for the next one. Cancelled ones cost nothing: the thread wakes when they would have been due."""
        while True:
            with self._changed:
                now = time.monotonic()
                ripe = [number for number, (due, _) in self._due.items() if due <= now]
                calls = [self._due.pop(number)[1] for number in ripe]
                if not calls:
                    soonest = min((due for due, _ in self._due.values()), default=None)
                    self._sleeps = soonest is None
                    self._changed.wait(None if soonest is None else soonest - now)
                    self._sleeps = False
            for call in calls:
                call()


@lru_cache(maxsize=1)
def alarms() -> Alarms:
    """Those of this process."""
    made = Alarms()
    made.start()
    return made
