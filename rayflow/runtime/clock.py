"""The clock that engines go by."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for ``event``, but no longer than this."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)
