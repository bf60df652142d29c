"""Those who wait for the ends of an actor's calls."""

from __future__ import annotations

import asyncio

from rayflow.core.actors import CallEnd, Calls


class Replies:
    """Tells each of them once, and all of them when nobody drives the actor any more."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[CallEnd | None]]] = {}

    async def end(self, calls: Calls, call: str) -> CallEnd | None:
        """How ``call`` has ended; None if the journal must be asked."""
        if call in calls.ended:
            return calls.ended[call]
        if call not in calls.open:
            return None
        reply: asyncio.Future[CallEnd | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(call, []).append(reply)
        return await reply

    def committed(self, calls: Calls) -> None:
        """More is durable: let those go whose calls have ended."""
        for call in calls.take_ended():
            for reply in self._waiting.pop(call, ()):
                if not reply.done():  # who waited has gone
                    reply.set_result(calls.ended.get(call))

    def abandon(self) -> None:
        """Nobody drives the actor any more."""
        for waiting in self._waiting.values():
            for reply in waiting:
                if not reply.done():
                    reply.set_result(None)
        self._waiting.clear()
