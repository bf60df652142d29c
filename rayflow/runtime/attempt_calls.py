"""What attempts ask of the engine while they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from rayflow.core.graph import StoredValue
from rayflow.errors import StaleAttemptError, WorkflowEndedError
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.floor import Floor
from rayflow.runtime.intake import Submission
from rayflow.runtime.peers import Peers
from rayflow.runtime.processes import Place

Attempt = tuple[str, str, int, str]  # workflow, task, number, token


class AttemptCalls(ABC):
    """The part of the engine that attempts call; what is said of one that is over counts for nothing."""

    _floor: Floor
    _peers: Peers

    @abstractmethod
    async def start(self) -> None:
        """Take over the root, once."""

    async def submit_child(
        self, attempt: Attempt, submission: Submission, listener: str | None = None
    ) -> bool:
        """Like ``submit``, for an attempt that starts a child workflow; its parent knows it first.

        Raises:
            StaleAttemptError: the attempt is over, or nobody drives the parent any more.
        """
        await self.start()
        parent = submission.parent or {}
        link = {"child": submission.workflow_id, **{k: parent[k] for k in ("waits", "on_cancel")}}
        await self._for_attempt(attempt, lambda runner: runner.child(*attempt[1:], link))
        is_ours: bool = await self._peers.call(
            submission.workflow_id, "submit", submission, listener
        )
        return is_ours

    async def task_started(
        self, workflow_id: str, task_id: str, attempt: int, token: str, place: Place
    ) -> None:
        """A worker says that the body of an attempt is running, and where."""
        runner = self._floor.runner(workflow_id)
        if runner is not None:
            runner.started(task_id, attempt, token, place)

    async def task_heartbeat(
        self, workflow_id: str, task_id: str, attempt: int, token: str, details: Any
    ) -> None:
        """A body gives a sign of life."""
        runner = self._floor.runner(workflow_id)
        if runner is not None:
            runner.heard(task_id, attempt, token, details)

    async def task_progress(
        self, workflow_id: str, task_id: str, attempt: int, token: str, stored: StoredValue
    ) -> None:
        """Record what a body has saved of its work; durable when this returns.

        Raises:
            StaleAttemptError: the attempt is over, or nobody drives the workflow any more.
        """
        await self._for_attempt(
            (workflow_id, task_id, attempt, token),
            lambda runner: runner.progress(task_id, attempt, token, stored),
        )

    async def task_stopped(
        self, workflow_id: str, task_id: str, attempt: int, token: str, details: Any
    ) -> None:
        """A body has stopped as it was asked to; its process waits to be ended."""
        runner = self._floor.runner(workflow_id)
        if runner is not None:
            runner.heard(task_id, attempt, token, details, is_over=True)

    async def _for_attempt(
        self, attempt: Attempt, record: Callable[[WorkflowRunner], Awaitable[None]]
    ) -> None:
        runner = self._floor.runner(attempt[0])
        try:
            if runner is not None:
                await record(runner)
                return
        except WorkflowEndedError:
            pass
        raise StaleAttemptError(*attempt[:3])
