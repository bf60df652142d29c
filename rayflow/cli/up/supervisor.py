"""Keeps the parts of an instance running: restarts what dies, gives up on what cannot start, stops
all in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from rayflow.cli.errors import CommandError
from rayflow.cli.up.logs import PartLog, Terminal
from rayflow.cli.up.part import Part
from rayflow.cli.up.processes import RecordedSessions
from rayflow.cli.up.running import RunningPart, describe_exit

# A part that has never run is misconfigured, and waiting longer only hides it; one that has run
# deserves patience.
FIRST_STARTS = 3
RESTARTS = 8
READY_SECONDS = 60.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
REAP_SECONDS = 10.0

T = TypeVar("T")


class Supervisor:
    """The parts of one instance and the tasks that watch them."""

    def __init__(self, terminal: Terminal, *, logs: Path, sessions: RecordedSessions) -> None:
        self._terminal = terminal
        self._logs = logs
        self._sessions = sessions
        self._parts: dict[str, SupervisedPart] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, part: Part) -> None:
        """Start a part and keep it running from now on."""
        log = PartLog(part.name, self._terminal, folder=self._logs, shown=part.shown)
        supervised = SupervisedPart(part, self, log=log)
        self._parts[part.name] = supervised
        supervised.begin()

    async def ready(self, *names: str) -> None:
        """Return when all these parts have been ready.

        Raises:
            CommandError: a part of the instance cannot be started.
        """
        await self.unless_failed(self._all_ready(names))

    async def _all_ready(self, names: Iterable[str]) -> None:
        for name in names:
            await self._parts[name].was_ready.wait()

    async def unless_failed(self, work: Awaitable[T]) -> T:
        """Await something, but not beyond the failure of a part.

        Raises:
            CommandError: names the part that cannot be kept running, and its log.
        """
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self._failed}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def watch(self) -> None:
        """Run until a part cannot be kept running; only ends by raising.

        Raises:
            CommandError: names the part and its log.
        """
        while not self._failed.done():
            self._sessions.reap_orphans()
            await asyncio.wait({self._failed}, timeout=REAP_SECONDS)
        self._failed.result()

    async def stop(self, order: Iterable[Iterable[str]]) -> None:
        """Stop the parts group by group; those of a group at the same time."""
        for group in order:
            parts = [self._parts[name] for name in group if name in self._parts]
            await asyncio.gather(*(part.end() for part in parts))
        if self._failed.done():
            self._failed.exception()  # seen by the caller or superseded by the stop

    def give_up(self, problem: CommandError) -> None:
        """Remember the failure that ends the instance; the first one counts."""
        if not self._failed.done():
            self._failed.set_exception(problem)

    def restart_followers(self, name: str) -> None:
        """Restart the parts that hold connections which died with this part."""
        for supervised in self._parts.values():
            if name in supervised.part.follows:
                supervised.restart(reason=f"{name} was restarted")

    async def launch(self, part: Part, log: PartLog) -> RunningPart:
        """Start the process of a part and record its session."""
        return await RunningPart.start(part, log=log, sessions=self._sessions)

    def report(self, message: str) -> None:
        """One line about the instance for the person who watches it."""
        self._terminal.problem(message)


class SupervisedPart:
    """One part over all its restarts."""

    def __init__(self, part: Part, supervisor: Supervisor, *, log: PartLog) -> None:
        self.part = part
        self.was_ready = asyncio.Event()
        self._supervisor = supervisor
        self._log = log
        self._running: RunningPart | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None  # held, or it could be collected
        self._failed_starts = 0
        self._restart_reason: str | None = None

    def begin(self) -> None:
        """Start the part and the task that watches it."""
        self._task = asyncio.create_task(self._keep_running(), name=self.part.name)

    def restart(self, *, reason: str) -> None:
        """Stop the process, gently; the watching task starts it again."""
        if self._running is not None and self._restart_reason is None:
            self._restart_reason = reason
            self._stopping = asyncio.create_task(self._running.stop())

    async def end(self) -> None:
        """Stop the part for good."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._running is not None:
            await self._running.stop()
            self._running = None
        self._log.close()

    async def _keep_running(self) -> None:
        while True:
            status = await self._run_once()
            if self._restart_reason is not None:
                self._supervisor.report(f"{self.part.name}: restarting, {self._restart_reason}")
                self._restart_reason = None
                continue
            if self._failed_starts >= (RESTARTS if self.was_ready.is_set() else FIRST_STARTS):
                self._supervisor.give_up(self._cannot_start(status))
                return
            pause = min(FIRST_PAUSE * 2 ** max(0, self._failed_starts - 1), LONGEST_PAUSE)
            self._supervisor.report(
                f"{self.part.name} stopped unexpectedly ({status}); "
                f"starting it again in {pause:g} s"
            )
            await asyncio.sleep(pause)

    async def _run_once(self) -> str:
        """Run the process until it ends; returns how it ended."""
        try:
            self._running = await self._supervisor.launch(self.part, self._log)
        except OSError as error:
            self._failed_starts += 1
            return f"cannot be started: {error}"
        ready = asyncio.create_task(self._running.ready())
        ended = asyncio.create_task(self._running.wait())
        try:
            await asyncio.wait(
                {ready, ended}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            self._count(is_ready=ready.done() and not ended.done())
            if not ready.done() and not ended.done():
                self._running.kill()
                await ended
                return f"not ready after {READY_SECONDS:g} s"
            working = asyncio.create_task(self._running.insist_on_work())
            try:
                return self._describe(await ended)
            finally:
                working.cancel()
        finally:
            ready.cancel()
            ended.cancel()

    def _count(self, *, is_ready: bool) -> None:
        if not is_ready:
            self._failed_starts += 1
            return
        self._failed_starts = 0
        if self.was_ready.is_set():
            self._supervisor.report(f"{self.part.name} is running again")
            self._supervisor.restart_followers(self.part.name)
        self.was_ready.set()

    def _describe(self, status: int) -> str:
        # A part that ends by itself usually says why; one that is killed does not.
        if self._running is not None and self._running.is_idle:
            return "its node had ended"
        how = describe_exit(status)
        return f"{how}: {self._log.last[:200]}" if status > 0 and self._log.last else how

    def _cannot_start(self, status: str) -> CommandError:
        return CommandError(
            f"{self.part.name} failed to start {self._failed_starts} times in a row ({status}); "
            f"its last words are in {self._log.path}"
        )
