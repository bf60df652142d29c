"""What may go wrong during the life of one engine, chosen by its seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from rayflow.storage.store import Store
from rayflow.testing.crash_store import CrashStore
from rayflow.testing.flaky_store import FlakyStore, Trouble


class Weather:
    """Calm, or a choice of crashes, storage errors and delays.

    ``overtake`` is called in the middle of one storage operation: somebody else claims the workflow.
    """

    def __init__(self, random: Random, calm: bool, overtake: Callable[[], None]) -> None:
        self._random, self._calm, self._overtake = random, calm, overtake
        self._calls = 0
        self.is_rough = not calm
        self._stop_at = self._perhaps(0.5, 12)
        self._overtaken_at = self._perhaps(0.12, 60)
        self._fails_from = self._perhaps(0.15, 60)
        self._fails_for = random.choice((1, 2, 10, 60))
        self._fails_every = random.choice((3, 5, 10)) if self._perhaps(0.1, 2) is not None else 0
        self._slowest = 0 if calm else random.choice((0, 0, 1, 4, 25))

    def without_errors(self) -> Weather:
        """The same weather on a storage that never fails."""
        self._fails_from, self._fails_every = None, 0
        return self

    def without_crashes(self) -> Weather:
        """The same weather, in which no operation of the storage is the last one."""
        self._stop_at = None
        return self

    def over(self, store: Store) -> Store:
        """``store`` as an engine sees it in this weather."""
        moment = self._random.choice(("before", "middle", "after"))
        return FlakyStore(CrashStore(store, stop_at=self._stop_at, moment=moment), self._trouble)

    async def io(self, function: Callable[[], None]) -> None:
        """Storage I/O takes its time, before it has happened and until one hears of it."""
        for _ in range(1 + self._random.randint(0, self._slowest)):
            await asyncio.sleep(0)
        try:
            function()
        finally:
            for _ in range(self._random.randint(0, self._slowest)):
                await asyncio.sleep(0)

    def _perhaps(self, probability: float, end: int) -> int | None:
        if self._calm or self._random.random() > probability:
            return None
        return self._random.randrange(end)

    def _trouble(self, operation: str) -> Trouble:
        self._calls += 1
        if self._calls == self._overtaken_at:
            self._overtake()
        since = -1 if self._fails_from is None else self._calls - self._fails_from
        if 0 <= since < self._fails_for or (
            self._fails_every and self._calls % self._fails_every == 0
        ):
            return "before" if self._random.random() < 0.5 else "after"
        return ""
