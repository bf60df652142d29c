"""A workflow that an engine drives, and the waiting for what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rayflow.core.actors import Calls
from rayflow.core.graph import StoredValue
from rayflow.core.records import WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskStatus
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.lanes import Lane
from rayflow.runtime.references import Output
from rayflow.runtime.replies import Replies
from rayflow.runtime.results import of_call
from rayflow.storage.index import IndexEntry

FEW_TASKS = 20


class LiveWorkflow:
    """Holds the place of a workflow from the moment somebody asks for it until it ends.

    ``listener`` is who wants to read what happens.
    ``runner`` appears when the workflow has been read or made.
    """

    def __init__(self, listener: str | None = None) -> None:
        self.listener = listener
        self.runner: WorkflowRunner | None = None
        self.lane: Lane | None = None  # of a virtual actor
        self.written: IndexEntry | None = None  # with the end of the workflow
        self.replies = Replies()
        self._indexing: asyncio.Future[None] | None = None
        self.is_accepted = False
        self.is_done = False
        self._changed = asyncio.Event()

    @property
    def is_idle_actor(self) -> bool:
        """Whether it is an actor whose calls have all ended."""
        calls = None if self.runner is None else self.runner.state.calls
        return self.is_accepted and calls is not None and not calls.open

    @property
    def is_to_be_kept(self) -> bool:
        """Whether it has ended well, and its value is not stored (``checkpoint=False``) or costs nothing to keep."""
        state = None if self.runner is None else self.runner.state
        if state is None or state.status is not WorkflowStatus.SUCCESSFUL:
            return False
        return state.has_output and (state.output.volatile or len(state.tasks) <= FEW_TASKS)

    def notify(self) -> None:
        """Something has changed: let everybody who waits look again."""
        self._changed.set()

    def accept(self) -> None:
        """It is durable, in the journal and in the index."""
        self.is_accepted = True
        self._changed.set()

    def finish(self) -> None:
        """It is not live any more."""
        self.is_done = True
        self.replies.abandon()
        self._changed.set()

    def index(self, change: Callable[[], Awaitable[None]]) -> None:
        """Have the index changed, after the changes that it was asked for before."""
        before = self._indexing

        async def changed() -> None:
            if before is not None:
                await before
            await change()

        self._indexing = asyncio.ensure_future(changed())

    async def indexed(self) -> None:
        """Wait until the index has the changes that were asked for so far."""
        if self._indexing is not None:
            await self._indexing

    async def accepted(self) -> WorkflowRunner | None:
        """Wait until the workflow is durably accepted; None if that failed."""
        while not (self.is_accepted or self.is_done):
            await self._change()
        return self.runner if self.is_accepted else None

    async def done(self) -> None:
        """Wait until it is not live any more."""
        while not self.is_done:
            await self._change()

    async def left(self) -> None:
        """Wait until an actor that has nothing to do is not live any more, or is called again."""
        while not self.is_done and self.is_idle_actor:
            await self._change()

    async def stopping(self) -> None:
        """Wait until it is on record that it is to be cancelled or suspended, or it is not live any more."""
        while not self.is_done:
            state = self.runner.state if self.runner else None
            if state is not None and (state.cancel_requested or state.suspend_requested):
                return
            await self._change()

    async def output(self, storage: str, task_id: str | None) -> Output | None:
        """The output as soon as it is there; None when the journal must be asked instead."""
        runner = await self.accepted()
        if runner is not None and runner.state.calls is not None:
            return await self._of_actor(storage, runner.state, runner.state.calls, task_id)
        if task_id is None:
            await self.done()  # so that the status is never behind what a waiter has been told
        while runner is not None:
            state = runner.state
            wanted = state.root if task_id is None else task_id
            task = state.find(wanted)
            if task is None and wanted in state:  # long done: its value is in the journal alone
                return None
            if task_id is None and (state.error is not None or state.cancel_requested):
                return None  # a finally_ task failed, or a cancel came, after the value was there
            if task is not None and task.status is TaskStatus.SUCCESSFUL:
                stored, ref = runner.values.stored(task), runner.values.ref(task)
                has_value = ref is not None or _is_at_hand(stored)
                return Output(storage, stored, ref) if has_value else None
            if self.is_done:
                return None
            await self._change()
        return None

    async def _of_actor(
        self, storage: str, state: WorkflowState, calls: Calls, call: str | None
    ) -> Output | None:
        """The state of an actor, or the value of one of its calls when that has ended."""
        if call is None:
            while calls.state is None and calls.open and not self.is_done:
                await self._change()
            return None if calls.state is None else Output(storage, calls.state, None)
        end = await self.replies.end(calls, call)
        return None if end is None else of_call(storage, state.workflow_id, call, end)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _is_at_hand(stored: StoredValue | None) -> bool:
    return stored is not None and (stored.key is not None or stored.data is not None)
