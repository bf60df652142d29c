"""One part as a running process: started in a session of its own, watched, stopped with everything
it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

from rayflow.cli.up.logs import LineWatch, PartLog, read_lines
from rayflow.cli.up.part import Part
from rayflow.cli.up.processes import RecordedSessions, sweep_session

PROBE_SECONDS = 0.1
STEADY_SECONDS = 2.0
DRAIN_SECONDS = 2.0
WORKS_SECONDS = 1.0


class RunningPart:
    """The process of one part, once. A restart makes a new one."""

    def __init__(
        self,
        part: Part,
        process: asyncio.subprocess.Process,
        *,
        log: PartLog,
        sessions: RecordedSessions,
    ) -> None:
        self.part = part
        self.started_at = time.monotonic()
        self.is_idle = False  # it had to be ended because it did not work any more
        self._process = process
        self._sessions = sessions
        self._line = LineWatch(part.ready_line)
        assert process.stdout is not None
        self._reader = asyncio.create_task(read_lines(process.stdout, log, seen=self._line))

    @classmethod
    async def start(cls, part: Part, *, log: PartLog, sessions: RecordedSessions) -> RunningPart:
        """Start the part as the leader of a new session.

        Raises:
            OSError: the program cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *part.command,
            env=dict(part.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        sessions.add(part.name, process.pid)
        return cls(part, process, log=log, sessions=sessions)

    @property
    def pid(self) -> int:
        """The process id, which is also the number of its session."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end of the process, end what it left behind, and return its exit status."""
        status = await self._process.wait()
        await self._clean_up()
        return status

    async def ready(self) -> None:
        """Return when the part gives its sign of readiness. Never returns when it does not: race it
        with `wait`.
        """
        if self.part.probe is not None:
            while not await self.part.probe():
                await asyncio.sleep(PROBE_SECONDS)
        elif self.part.ready_line is not None:
            await self._line.found.wait()
        else:
            await asyncio.sleep(STEADY_SECONDS)

    async def insist_on_work(self) -> None:
        """End the process when it only lives and does not work any more; never returns before."""
        works = self.part.works
        while works is None or await asyncio.to_thread(works, self.pid):
            await asyncio.sleep(WORKS_SECONDS)
        self.is_idle = True
        self.kill()

    async def stop(self) -> None:
        """Ask the process to end, insist when it does not, and end whatever it started."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), self.part.stop_seconds)
            except TimeoutError:
                self.kill()
                await self._process.wait()
        await self._clean_up()

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _clean_up(self) -> None:
        await asyncio.to_thread(sweep_session, self.pid)
        self._sessions.remove(self.part.name, self.pid)
        # The pipe closes with its last writer; a stray writer outside the session must not hold up
        # a stop.
        await asyncio.wait({self._reader}, timeout=DRAIN_SECONDS)
        self._reader.cancel()


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
