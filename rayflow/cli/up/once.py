"""A program of the instance that runs once and must succeed: it prepares what the parts need."""

from __future__ import annotations

import asyncio

from rayflow.cli.errors import CommandError
from rayflow.cli.up.logs import PartLog
from rayflow.cli.up.part import Part
from rayflow.cli.up.processes import RecordedSessions
from rayflow.cli.up.running import RunningPart, describe_exit

# A sentence that RayFlow itself wrote for the user; a last line without it is some library's.
OWN_PREFIX = "rayflow: "


class Step:
    """One run of a program: first its sign of readiness, later its end."""

    def __init__(self, part: Part, *, log: PartLog, sessions: RecordedSessions) -> None:
        self._part = part
        self._log = log
        self._sessions = sessions
        self._running: RunningPart | None = None
        self._ended: asyncio.Task[int] | None = None

    async def ready(self) -> None:
        """Start the program and return when it gives its sign, or has ended without it.

        Raises:
            CommandError: it failed; see `finished`.
        """
        self._running = await RunningPart.start(self._part, log=self._log, sessions=self._sessions)
        self._ended = asyncio.create_task(self._running.wait())
        signed = asyncio.create_task(self._running.ready())
        await asyncio.wait({signed, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        signed.cancel()
        if self._ended.done():
            await self.finished()

    async def finished(self) -> None:
        """Wait for the end.

        Raises:
            CommandError: it failed; the message is its last line, with the name of its log when
                that line is not a sentence of ours.
        """
        assert self._ended is not None, "finished() comes after ready()"
        status = await asyncio.shield(self._ended)
        if status == 0:
            return
        if self._log.last.startswith(OWN_PREFIX):
            raise CommandError(self._log.last.removeprefix(OWN_PREFIX))
        raise CommandError(
            f"{self._part.name} failed ({describe_exit(status)}): "
            f"{self._log.last or 'it said nothing'}; see {self._log.path}"
        )

    async def stop(self) -> None:
        """End the program if it still runs."""
        if self._running is not None:
            await self._running.stop()
        if self._ended is not None:
            await self._ended
        self._log.close()
