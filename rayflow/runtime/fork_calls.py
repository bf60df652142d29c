"""What programs ask of the engine about forks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rayflow.core.foresight import ResumePlan
from rayflow.core.records import WorkflowStatus
from rayflow.errors import WorkflowHasForksError, WorkflowRunningError
from rayflow.runtime import forks
from rayflow.runtime.floor import Floor
from rayflow.runtime.forks import Fork
from rayflow.runtime.peers import Peers
from rayflow.runtime.registry import Registry
from rayflow.storage.store import Store


class ForkCalls(ABC):
    """The part of the engine that is about forks; it is that of the origin which is asked."""

    _floor: Floor
    _registry: Registry
    _peers: Peers
    _store: Store
    _io: Callable[[Callable[[], Any]], Awaitable[Any]]

    @abstractmethod
    async def start(self) -> None:
        """Take over the root, once."""

    async def fork(self, fork: Fork, listener: str | None = None) -> None:
        """Record and accept a workflow that begins with checkpoints of another; durable when this returns.

        Raises:
            WorkflowNotFoundError, WorkflowRunningError: there is no such origin, or it has not ended.
            WorkflowExistsError, WorkflowNotForkableError, ValueError, queue.Full, StorageError
        """
        await self.start()
        submit = partial(self._peers.call, fork.workflow_id, "submit", fork, listener)
        if await self._peers.known(fork.workflow_id):  # taken, or this is a repeated call
            await submit()
            return
        with self._at_rest(fork.origin):
            await self._io(self._registry.require_owned)
            await submit()

    async def plan_fork(self, origin: str, from_tasks: tuple[str, ...]) -> ResumePlan:
        """What a fork would do; raises as :meth:`fork`."""
        await self.start()
        status = WorkflowStatus(self._registry.entry(origin).status)
        plan: ResumePlan = await self._io(
            lambda: forks.plan(self._store, origin, status, from_tasks)
        )
        return plan

    @contextmanager
    def _at_rest(self, workflow_id: str) -> Iterator[None]:
        """Keep a workflow that has ended as it is."""
        self._registry.entry(workflow_id)
        if workflow_id in self._floor.live:
            raise WorkflowRunningError(workflow_id)
        with self._floor.held(workflow_id):
            yield

    async def _require_no_forks(self, workflow_id: str) -> None:
        """Make sure that no existing workflow uses the values of this one.

        Raises:
            WorkflowHasForksError: one does.
        """
        for fork_id in await self._io(lambda: list(forks.marked(self._store, workflow_id))):
            if await self._peers.known(fork_id) is not None:
                raise WorkflowHasForksError(workflow_id, f"Fork '{fork_id}' uses its results.")
