"""People and old processes who interfere with a running workflow at random moments."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from random import Random

from rayflow.core.records import WorkflowStatus
from rayflow.errors import WorkflowEndedError
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import status_fact
from rayflow.runtime.waiting import Message, message_facts
from tests.simulation.witness import WatchedSubmitter
from tests.simulation.workflows import SIGNALS


class Meddler:
    """Cancels, suspends, admits, and delivers messages that are late, once more or from old owners.

    ``tokens``: those of all owners so far, the present one last.
    """

    def __init__(
        self,
        random: Random,
        runner: WorkflowRunner,
        submitter: WatchedSubmitter,
        tokens: Sequence[str],
    ) -> None:
        self._random, self._runner, self._submitter = random, runner, submitter
        self._tokens = tokens

    async def act(self, calm: bool, may_run: bool) -> None:
        """Do it, now and then."""
        if not may_run:
            await self._pause()
            self._perhaps_end()
            self._runner.admit(status_fact(WorkflowStatus.RUNNING))
        if calm or self._random.random() < 0.5:
            return
        async with asyncio.TaskGroup() as telling:
            await self._meddle(telling)

    async def _meddle(self, telling: asyncio.TaskGroup) -> None:
        for _ in range(self._random.randint(1, 6)):
            await self._pause()
            if self._random.random() < 0.3:
                telling.create_task(self._tell())
            self._late_start()
            self._late_outcome()
            self._perhaps_end()

    async def _pause(self) -> None:
        for _ in range(self._random.randint(1, 20)):
            await asyncio.sleep(0)

    async def _tell(self) -> None:
        """Somebody sends a message, perhaps one that was sent before."""
        name, number = self._random.choice(SIGNALS), self._random.randrange(100)
        key = self._random.choice((None, "once"))
        message = Message("signal", name, number, key)
        with contextlib.suppress(WorkflowEndedError):
            await self._runner.record(
                partial(message_facts, self._runner.state, message), is_alone=False
            )

    def _perhaps_end(self) -> None:
        choice = self._random.random()
        if choice < 0.03:
            self._runner.request_cancel()
        elif choice < 0.07:
            self._runner.request_suspend()

    def _late_start(self) -> None:
        """A worker says that its attempt runs: the present one, an older one, or an old owner's."""
        tasks = list(self._runner.state.tasks.values())
        if tasks:
            task = self._random.choice(tasks)
            attempt = max(1, task.attempt + self._random.choice((-1, 0, 0, 1)))
            self._runner.started(task.task_id, attempt, self._random.choice(self._tokens))

    def _late_outcome(self) -> None:
        """An outcome arrives a second time, perhaps while another attempt is under way."""
        if self._submitter.delivered:
            call, outcome, handle = self._random.choice(self._submitter.delivered)
            settle = self._runner._settle
            self._runner._inbox.put(
                lambda: settle(call.task_id, call.attempt, outcome, handle), about=call.task_id
            )
