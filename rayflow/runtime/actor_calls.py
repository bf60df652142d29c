"""What programs ask of the engine about virtual actors."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from rayflow.core.actors import CONSTRUCTOR
from rayflow.core.graph import Graph, StoredValue
from rayflow.core.records import Fact, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.errors import (
    VirtualActorNotFoundError,
    VirtualActorNotInitializedError,
    VirtualActorReentrancyError,
    WorkflowEndedError,
    WorkflowExistsError,
)
from rayflow.runtime.failures import CallFailedError
from rayflow.runtime.floor import Floor
from rayflow.runtime.intake import Opened, Submission, awaken, status_fact
from rayflow.runtime.lanes import Ended
from rayflow.runtime.live import LiveWorkflow
from rayflow.runtime.output_calls import OutputCalls
from rayflow.runtime.references import Output
from rayflow.runtime.worker import Next
from rayflow.storage.index import SUSPENDED
from rayflow.storage.store import Store

MOST_VIEWS = 1024

Version = tuple[
    str, int
]  # of an actor's state: what has made the actor, and the record that has left it


@dataclass(frozen=True, slots=True)
class ActorCall:
    """A call of an actor: a graph whose root is the method.

    ``call_id`` makes repeated ones the same call. ``callers``: the actors whose methods wait for it.
    """

    actor_id: str
    graph: Graph
    call_id: str
    callers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActorView:
    """What readers need of an actor: its class, and its state at a ``version``, unless that is known.

    ``error``: why it has no state, if its constructor has failed.
    """

    code: str
    version: Version
    state: StoredValue | None
    error: dict[str, Any] | None = None


class ActorCalls(OutputCalls):
    """The part of the engine that is about virtual actors."""

    _floor: Floor
    _store: Store
    _views: OrderedDict[str, tuple[float, ActorView]]
    _io: Callable[[Callable[[], Any]], Awaitable[Any]]

    @abstractmethod
    async def submit(self, submission: Submission, listener: str | None = None) -> bool:
        """Record and accept a workflow."""

    @abstractmethod
    async def _replay(self, workflow_id: str) -> WorkflowState: ...

    @abstractmethod
    def _equipped(self, opened: Opened) -> Opened: ...

    async def create_actor(self, submission: Submission, listener: str | None = None) -> bool:
        """Make an actor whose first call is the constructor; returns whether there was none.

        One that exists stays as it is, but for one whose constructor has failed: that gets this call.

        Raises:
            VirtualActorNotFoundError: a workflow that is no actor has this id.
            WorkflowEndedError: it was cancelled, or is suspended.
            StorageError: it cannot be stored.
        """
        await self.start()
        actor_id = submission.workflow_id
        if actor_id not in self._registry.entries and actor_id not in self._floor.live:
            try:
                return await self.submit(submission, listener)
            except WorkflowExistsError:
                pass  # somebody else was quicker
        view = await self.actor_view(actor_id)
        if view.version[0] == submission.token:
            return True  # this was asked before, and the answer was lost
        if view.state is None and view.error is not None:
            await self.call_actor(ActorCall(actor_id, submission.graph, submission.token), listener)
            return True
        return False

    async def call_actor(self, call: ActorCall, listener: str | None = None) -> str:
        """Put a call at the end of an actor's queue; durable when this returns its id.

        Raises:
            VirtualActorNotFoundError: no actor has this id.
            WorkflowEndedError: it was cancelled, or is suspended.
            StorageError: it cannot be stored.
        """
        await self.start()
        while True:
            live = self._floor.live.get(call.actor_id)
            if live is None:
                await self._awaken(call.actor_id, listener)
                continue
            try:
                task_id = await self._recorded(live, call)
            except WorkflowEndedError:
                task_id = None
            if task_id is not None:
                return task_id
            await live.done()  # it is about to end: see what it is then

    async def run_method(self, call: ActorCall, listener: str | None = None) -> Output:
        """Like :meth:`call_actor`, and wait for the value of the call.

        Raises:
            VirtualActorReentrancyError: one that waits for it is in its way.
            VirtualActorCallError: the call failed.
            WorkflowCancellationError: the actor was cancelled meanwhile.
        """
        if call.actor_id in call.callers:
            raise VirtualActorReentrancyError(call.actor_id)
        task_id = await self.call_actor(call, listener)
        return await self.output(call.actor_id, task_id, has_started=True)

    async def actor_view(self, actor_id: str, known: Version | None = None) -> ActorView:
        """The class of an actor, and its last committed state unless that is the ``known`` version.

        Raises:
            VirtualActorNotFoundError: no actor has this id.
        """
        await self.start()
        view = await self._view(actor_id)
        return replace(view, state=None) if view.version == known else view

    async def actor_ready(self, actor_id: str) -> None:
        """Wait until the constructor of an actor has run.

        Raises:
            VirtualActorNotFoundError: no actor has this id.
            VirtualActorCallError: the constructor failed.
            VirtualActorNotInitializedError: nobody drives the actor, so it is not going to run.
        """
        await self.start()
        live = self._floor.live.get(actor_id)
        if live is not None:
            await live.output("", None)
        view = await self._view(actor_id)
        if view.error is not None:
            raise CallFailedError(actor_id, CONSTRUCTOR, view.error)
        if view.state is None:
            raise VirtualActorNotInitializedError(actor_id)

    async def calls_ended(
        self, actor_id: str, token: str, ended: list[Ended], is_done: bool
    ) -> list[Next]:
        """A worker has run calls of an actor; when it ``is_done``, returns the next ones for it."""
        live = self._floor.live.get(actor_id)
        if live is None or live.lane is None or live.runner is None or live.runner.token != token:
            return []
        return await live.lane.delivered(ended, is_done=is_done)

    async def _awaken(self, actor_id: str, listener: str | None) -> None:
        """Have an engine drive an actor that was at rest, or whose calls had stopped."""
        entry = self._registry.entries.get(actor_id)
        if entry is None:
            raise VirtualActorNotFoundError(actor_id)
        if entry.was == SUSPENDED and entry.status == WorkflowStatus.RESUMABLE:
            raise WorkflowEndedError(
                actor_id, f"It is suspended; workflow.resume({actor_id!r}) continues it."
            )

        def prepare() -> Opened:
            self._registry.require_owned()
            return self._equipped(awaken(self._store, actor_id))

        await self._floor.open(actor_id, prepare, listener)

    async def _recorded(self, live: LiveWorkflow, call: ActorCall) -> str | None:
        """The id of a call, once it is durable; None if the actor is about to end."""
        runner = await live.accepted()
        if runner is None:
            return None
        state, found = runner.state, ""
        if state.calls is None:
            raise VirtualActorNotFoundError(call.actor_id)

        def facts() -> list[Fact]:
            nonlocal found
            assert state.calls is not None
            if state.cancel_requested or state.suspend_requested or state.error is not None:
                raise WorkflowEndedError(call.actor_id)
            made, found = state.calls.facts(state, call.graph, call.call_id, call.callers)
            if made and state.status is WorkflowStatus.SUCCESSFUL:
                return [status_fact(WorkflowStatus.RUNNING), *made]
            return made

        await runner.record(facts, is_alone=False)
        await live.indexed()
        if self._registry.entries[call.actor_id].status != WorkflowStatus.RUNNING:
            await self._registry.put(
                call.actor_id, WorkflowStatus.RUNNING
            )  # so that nobody loses it
        return found

    async def _view(self, actor_id: str) -> ActorView:
        live = self._floor.live.get(actor_id)
        runner = None if live is None else await live.accepted()
        if runner is not None:
            return _view_of(actor_id, runner.state)
        entry = self._registry.entries.get(actor_id)
        if entry is None:
            raise VirtualActorNotFoundError(actor_id)
        seen, view = self._views.get(actor_id, (None, None))
        if view is None or seen != entry.changed_at:  # every life of it changes its entry
            view = _view_of(actor_id, await self._replay(actor_id))
            self._views[actor_id] = (entry.changed_at, view)
            if len(self._views) > MOST_VIEWS:
                self._views.popitem(last=False)
        return view


def _view_of(actor_id: str, state: WorkflowState) -> ActorView:
    calls = state.calls
    if calls is None:
        raise VirtualActorNotFoundError(actor_id)
    errors = (end.error for end in reversed(calls.ended.values()) if end.error is not None)
    error = None if calls.state is not None or calls.open else next(errors, None)
    version = (str(state.accepted["submission"]), calls.version)
    return ActorView(calls.code, version, calls.state, error)
