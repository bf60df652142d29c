"""The live workflows of an engine: opened, driven to their end, and closed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.waits import WaitKind
from rayflow.errors import FencedError, StorageError, WorkflowEndedError
from rayflow.runtime import engine_logs, family
from rayflow.runtime.bundles import Bundles
from rayflow.runtime.clock import RealClock
from rayflow.runtime.commits import Io
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.family import Family
from rayflow.runtime.feed import Feed
from rayflow.runtime.intake import Opened, status_fact
from rayflow.runtime.lanes import Lane
from rayflow.runtime.lines import Lines, Narrator
from rayflow.runtime.live import LiveWorkflow
from rayflow.runtime.places import Places
from rayflow.runtime.registry import Registry
from rayflow.runtime.submitter import Submitter
from rayflow.runtime.surroundings import Surroundings, Writer
from rayflow.runtime.waiting import Message, message_facts
from rayflow.storage import layout
from rayflow.storage.index import SUSPENDED, IndexEntry

logger = logging.getLogger("rayflow.engine")

MIN_WINDOW = 256
WINDOW_PER_CPU = 16
MIN_BUNDLES = 32
BUNDLES_PER_CPU = 4
MOST_RECENT = 256

_AT_REST = WorkflowStatus.SUCCESSFUL


class Floor:
    """Where workflows run. Every workflow in ``live`` has a slot or a place in the queue."""

    def __init__(
        self,
        storage: str,
        places: Places,
        instance: str,
        submitter: Bundles,
        host: Submitter,
        registry: Registry,
        feed: Feed,
        relatives: Family,
        io: Io,
        forget: Callable[[str], None],
    ) -> None:
        self.live: dict[str, LiveWorkflow] = {}
        # Ended lately with a value that is at hand, for those who have started them.
        self.recent: OrderedDict[str, LiveWorkflow] = OrderedDict()
        self._storage, self._instance = storage, instance
        self._submitter, self._host = submitter, host
        self._registry, self._feed, self._io = registry, feed, io
        self._family, self._forget = relatives, forget
        self.lines = Lines()
        self._places = places
        self._running: set[asyncio.Task[None]] = set()
        self._window = MIN_WINDOW

    async def open(
        self,
        workflow_id: str,
        prepare: Callable[[], Opened],
        listener: str | None = None,
        *,
        is_free: bool = False,
    ) -> None:
        """Make a workflow live: its place is taken before the first await, so nobody is second.

        ``is_free``: it needs no slot, see :func:`needs_slot`.
        """
        entry = self._registry.entries.get(workflow_id)
        is_free = is_free or (entry is not None and entry.actor is not None)
        live = self.live[workflow_id] = LiveWorkflow(listener)
        if listener is not None:
            self.lines.opened(listener)
        try:
            may_run = is_free or await self._places.enter(workflow_id)
            self.recent.pop(workflow_id, None)
            opened: Opened = await self._io(prepare)
            if opened.writer is None:  # it has its end already, which the index may not know
                if self._registry.entries[workflow_id].status != opened.state.status:
                    await self._registry.put(
                        workflow_id, opened.state.status, was=_reason(opened.state)
                    )
                    self._say_end(opened.state, opened.state.status)
                self._close(workflow_id)
                return
            accepted = opened.state.accepted or _accepted(opened.first)
            actor = accepted.get("actor")
            if not is_free and not needs_slot(actor, accepted.get("parent")):
                may_run = True
                self._places.leave(workflow_id)
            if actor is not None:
                if opened.state.calls is not None:
                    opened.state.calls.take_outdated()  # long gone
                live.lane = Lane(self._submitter)
            runner = live.runner = WorkflowRunner(
                opened.state,
                opened.writer,
                self._surroundings(workflow_id, live),
                f"{self._instance}:{id(live):x}",
            )
            status = WorkflowStatus.RUNNING if may_run else WorkflowStatus.PENDING
            new = self._registry.entry_of(workflow_id, status, accepted=accepted)
            await runner.commit([*opened.first, status_fact(status)], patiently=False, entry=new)
            self._registry.entries[workflow_id] = new
        except BaseException:
            self._close(workflow_id)
            raise
        live.accept()
        self._family.opened(runner, opened.first)
        self._feed.ring(workflow_id)
        self.spawn(self._drive(workflow_id, runner))

    async def end(
        self,
        workflow_id: str,
        request: Callable[[WorkflowRunner], None],
        force: bool,
        wait: bool = True,
    ) -> bool:
        """Ask a live workflow to end and wait until it has; False if it is not live."""
        while (live := self.live.get(workflow_id)) is not None:
            runner = await live.accepted()
            if runner is not None:
                request(runner)
                if force:
                    runner.skip_grace()
                await (live.done() if wait else live.stopping())
                return True
        return False

    async def tell(self, workflow_id: str, message: Message) -> bool:
        """Record a message to a live workflow; False if it is not live.

        Raises:
            WorkflowError: the message is refused, see :func:`rayflow.runtime.waiting.message_facts`.
        """
        while (live := self.live.get(workflow_id)) is not None:
            runner = await live.accepted()
            if runner is None:
                await live.done()
                continue
            try:
                facts = partial(message_facts, runner.state, message)
                await runner.record(facts, is_alone=message.kind == WaitKind.APPROVAL)
                return True
            except WorkflowEndedError:
                await live.done()
        return False

    async def put_away(self, workflow_id: str) -> None:
        """Let go of an actor that has nothing to do, so that it is like any workflow that has ended."""
        live = self.live.get(workflow_id)
        if live is not None and live.runner is not None and live.is_idle_actor:
            live.runner.leave()
            await live.left()

    def status(self, workflow_id: str, status: str) -> str:
        """The status of a workflow that has this one in the index: an actor may have ended its calls since."""
        live = self.live.get(workflow_id)
        return str(_AT_REST) if live is not None and live.is_idle_actor else status

    def let_go(self) -> None:
        """Another engine owns the root: stop what runs and write nothing more."""
        for live in self.live.values():
            if live.runner is not None:
                live.runner.let_go()

    def runner(self, workflow_id: str) -> WorkflowRunner | None:
        """What drives a workflow, if it is live."""
        live = self.live.get(workflow_id)
        return None if live is None else live.runner

    @contextmanager
    def held(self, workflow_id: str) -> Iterator[None]:
        """Change a workflow at rest: nobody opens, cancels or deletes it meanwhile."""
        live = self.live[workflow_id] = LiveWorkflow()
        self.recent.pop(workflow_id, None)
        try:
            yield
        finally:
            del self.live[workflow_id]
            live.finish()

    def widen(self, cpus: float) -> None:
        """Keep the in-flight window in proportion to the cluster."""
        self._window = max(MIN_WINDOW, int(WINDOW_PER_CPU * cpus))
        self._submitter.most = max(MIN_BUNDLES, int(BUNDLES_PER_CPU * cpus))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let it run beside everything else."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _surroundings(self, workflow_id: str, live: LiveWorkflow) -> Surroundings:
        narrator = Narrator(workflow_id, is_brief=live.lane is not None)

        def committed(state: WorkflowState, records: Sequence[Record]) -> None:
            live.notify()
            if state.calls is not None:
                live.replies.committed(state.calls)
                self._follow_actor(live, state, records)
                for key in state.calls.take_outdated():
                    self.spawn(self._drop(key))
            self._family.committed(state, records)
            if live.listener is not None:
                self.lines.say(live.listener, narrator.tell(records))
            self._feed.ring(state.workflow_id)

        async def commit(
            writer: Writer, records: Sequence[Record], entry: IndexEntry | None = None
        ) -> None:
            end = _end_in(records) if entry is None and live.lane is None else None
            if end is not None:
                status, was = end
                live.written = self._registry.entry_of(workflow_id, status, was=was)
            trouble = await self._registry.commits.records(writer, records, entry or live.written)
            if trouble is not None and entry is not None:
                raise trouble
            if trouble is not None:
                live.written = None

        return Surroundings(
            self._storage,
            live.lane or self._submitter,
            self._host,
            RealClock(),
            commit,
            lambda: self._window,
            committed,
            live.listener,
            None if live.lane else self._submitter,
        )

    def _follow_actor(
        self, live: LiveWorkflow, state: WorkflowState, records: Sequence[Record]
    ) -> None:
        """Have the index say when an actor rests. Whoever calls it again sees to the contrary."""
        rested = [r for r in records if r.kind == Kind.STATUS and r.data["status"] == _AT_REST]
        if live.is_accepted and rested:
            live.index(partial(self._registry.follow, state.workflow_id, _AT_REST, None))

    async def _drop(self, key: str) -> None:
        """Remove what nobody needs any more."""
        try:
            await self._io(lambda: self._forget(key))
        except StorageError as error:
            logger.warning("%s stays in the storage: %s", key, error)

    async def _drive(self, workflow_id: str, runner: WorkflowRunner) -> None:
        status, was = WorkflowStatus.RESUMABLE, None
        engine_logs.workflow.set(workflow_id)
        try:
            await runner.run()
            status, was = runner.state.status, _reason(runner.state)
            if runner.has_relays:
                await self._drop(layout.relays(workflow_id))
        except FencedError as error:
            logger.warning("let go of workflow '%s': %s", workflow_id, error)
        except StorageError as error:
            logger.error("workflow '%s' is RESUMABLE: %s", workflow_id, error)
        except Exception:
            logger.exception("workflow '%s' is RESUMABLE after an error of the engine", workflow_id)
        live = self.live[workflow_id]
        await live.indexed()
        await self._registry.follow(workflow_id, status, was, live.written)
        self._close(workflow_id)
        self._say_end(runner.state, status)

    def _say_end(self, state: WorkflowState, status: WorkflowStatus) -> None:
        changed_at = self._registry.entry(state.workflow_id).changed_at
        self._family.ended(state, status, changed_at)

    def _close(self, workflow_id: str) -> None:
        """The workflow is not live any more; its slot goes to the next one in the queue."""
        live = self.live.pop(workflow_id)
        live.finish()
        if live.is_to_be_kept:
            self.recent[workflow_id] = live
            if len(self.recent) > MOST_RECENT:
                self.recent.popitem(last=False)
        if live.listener is not None:
            self.lines.closed(live.listener)
        self._places.leave(workflow_id)
        self._feed.ring(workflow_id)

    def promote(self, workflow_id: str) -> None:
        """A workflow that waited in the queue has a slot now."""
        self.spawn(self._promote(workflow_id))

    async def _promote(self, workflow_id: str) -> None:
        live = self.live[workflow_id]
        runner = await live.accepted()
        if runner is not None and not live.is_done:
            runner.admit(status_fact(WorkflowStatus.RUNNING))
            if live.written is None:  # else the index is about to hear of its end, which comes last
                await self._registry.put(workflow_id, WorkflowStatus.RUNNING)


def needs_slot(actor: dict[str, Any] | None, parent: dict[str, Any] | None) -> bool:
    """Whether a workflow counts among those that run at once.

    Not an ``actor``, nor a part of a ``parent`` that waits for it, and has a slot for both.
    """
    return actor is None and not family.is_part(parent)


def _accepted(first: Sequence[Fact]) -> dict[str, Any]:
    return next((fact.data for fact in first if fact.kind is Kind.ACCEPTED), {})


def _end_in(records: Sequence[Record]) -> tuple[WorkflowStatus, str | None] | None:
    """The status that a workflow ends with, and what the index says of it besides."""
    last = records[-1]
    if last.kind is not Kind.STATUS or WorkflowStatus(last.data["status"]).is_live:
        return None
    is_suspended = last.data["reason"] == "suspended"
    return WorkflowStatus(last.data["status"]), SUSPENDED if is_suspended else None


def _reason(state: WorkflowState) -> str | None:
    """What the index says about a RESUMABLE workflow besides."""
    is_suspended = state.status is WorkflowStatus.RESUMABLE and state.suspend_requested
    return SUSPENDED if is_suspended else None
