"""The feed: which workflows have changed since a reader last asked."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass

KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Changes:
    """Workflows that changed behind ``cursor``. ``reset``: reconcile with the index, some were missed."""

    cursor: str
    reset: bool
    workflow_ids: list[str]


class Feed:
    """A bounded memory of changes. A cursor of another engine, or one too old, is a reset."""

    def __init__(self) -> None:
        self._instance = uuid.uuid4().hex
        self._number = 0
        self._forgotten = 0
        self._changed: dict[str, int] = {}
        self._bell = asyncio.Event()

    def ring(self, workflow_id: str) -> None:
        """A workflow has changed."""
        self._number += 1
        self._changed.pop(workflow_id, None)
        self._changed[workflow_id] = self._number
        if len(self._changed) > KEPT:
            oldest = next(iter(self._changed))
            self._forgotten = self._changed.pop(oldest)
        self._bell.set()

    async def changes(self, cursor: str | None, timeout: float) -> Changes:
        """What changed behind ``cursor``; waits up to ``timeout`` seconds for something to change."""
        instance, _, number = (cursor or "").partition(":")
        if instance != self._instance or int(number) < self._forgotten:
            return Changes(self._cursor(), True, [])
        after = int(number)
        if after == self._number:
            self._bell.clear()
            # When the time is up something may have changed all the same, just now: so look, too.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), timeout)
        changed = []
        for workflow_id in reversed(self._changed):
            if self._changed[workflow_id] <= after:
                break
            changed.append(workflow_id)
        return Changes(self._cursor(), False, changed[::-1])

    async def taken(self) -> list[str]:
        """All that has changed since the last call; waits until something has. For one reader alone."""
        while not self._changed:
            self._bell.clear()
            await self._bell.wait()
        changed = list(self._changed)
        self._changed.clear()
        return changed

    def _cursor(self) -> str:
        return f"{self._instance}:{self._number}"
