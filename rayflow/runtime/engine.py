"""The engine: the detached actor that owns and drives the workflows of one storage root.

All its methods are idempotent, because Ray repeats a call whose answer was lost with the actor's
process. Storage I/O runs in threads, never on the event loop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import ray

from rayflow.config import Limits
from rayflow.core.foresight import ResumePlan
from rayflow.core.records import Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.errors import (
    EngineUnavailableError,
    FencedError,
    StorageError,
    WorkflowEndedError,
    WorkflowExistsError,
    WorkflowNotResumableError,
    WorkflowRunningError,
    WorkflowStillActiveError,
)
from rayflow.runtime import engine_logs, foresight, forks, intake
from rayflow.runtime.actor_calls import ActorCalls, ActorView
from rayflow.runtime.answers import Answers
from rayflow.runtime.attempt_calls import AttemptCalls
from rayflow.runtime.bundles import Bundles
from rayflow.runtime.direct import OpenLine, opened
from rayflow.runtime.environment import Packages
from rayflow.runtime.exchange import Address
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.family import Family
from rayflow.runtime.feed import Feed
from rayflow.runtime.floor import Floor, needs_slot
from rayflow.runtime.fork_calls import ForkCalls
from rayflow.runtime.forks import Fork
from rayflow.runtime.hosts import HostSubmitter
from rayflow.runtime.intake import Opened, Submission
from rayflow.runtime.lines import Heard
from rayflow.runtime.peer_calls import PeerCalls
from rayflow.runtime.peers import Peers, actor_options
from rayflow.runtime.places import FarPlaces, OwnPlaces
from rayflow.runtime.recalling import recaller
from rayflow.runtime.registry import Registry, lost_root
from rayflow.runtime.shared import Nodes
from rayflow.runtime.submitter import RaySubmitter
from rayflow.runtime.waiting import Message
from rayflow.storage import layout
from rayflow.storage.address import name_of
from rayflow.storage.journal import Journal
from rayflow.storage.root import check_shared, open_store

logger = logging.getLogger("rayflow.engine")

IO_THREADS = 16
WATCH_SECONDS = 5.0
# States are large, live long and have no cycles: looking through them as often as Python does by itself
# took a third of the time of a workflow with 10,000 tasks.
_COLLECT = (50_000, 20, 100)
LEFTOVER_SECONDS = 24 * 3600.0


class Engine(AttemptCalls, ActorCalls, ForkCalls, PeerCalls):
    """One per storage root, or several. Made by :mod:`rayflow.runtime.cluster`, never directly.

    Args:
        storage: the address of the root.
        limits: for the workflows of all engines together.
        instance: tells this engine from those of before.
        engines: how many share the root; None leaves it as it is. For the first one, which makes the others.
        number: which of them this one is.
    """

    def __init__(
        self,
        storage: str,
        limits: Limits,
        instance: str,
        engines: int | None = None,
        number: int = 0,
    ) -> None:
        engine_logs.configure()
        gc.set_threshold(*_COLLECT)
        self._storage, self._limits, self._instance = storage, limits, instance
        self._store = open_store(storage)
        self._threads = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="rayflow-io")
        self._starting: asyncio.Future[None] | None = None
        self._line: OpenLine | None = None
        self._handle = ray.get_runtime_context().current_actor
        self._nodes = Nodes(storage, instance)
        self._engines = engines
        self._registry = Registry(self._store, instance, self._io, number)
        self._peers = Peers(self, storage, self._registry)
        self._feed = Feed()
        self._family = Family(self._peers, self._replay)
        self._places = self._made_places()
        self._bundles = Bundles(RaySubmitter(self._handle), recaller(self._store, self._io))
        self._floor = Floor(
            storage,
            self._places,
            instance,
            self._bundles,
            HostSubmitter(),
            self._registry,
            self._feed,
            self._family,
            self._io,
            self._store.delete,
        )
        self._answers = Answers(storage, self._floor, self._registry, self._load, self._io)
        self._packages = Packages(self._store)
        self._views: OrderedDict[str, tuple[float, ActorView]] = OrderedDict()
        # A restarted engine carries on without waiting for anybody to call it.
        self._handle.start.remote()

    def _made_places(self) -> OwnPlaces | FarPlaces:
        """Where there are no limits, nobody needs to ask the first engine."""
        if self._registry.part.number == 0 or self._limits.running is None:
            return OwnPlaces(self._limits, self._promote)
        return FarPlaces(
            partial(self._peers.ask, 0),
            lambda work: self._floor.spawn(work),
            lambda workflow_id: self._floor.promote(workflow_id),
        )

    async def start(self) -> None:
        """Take over the root, once.

        Raises:
            RootInUseError: another live engine owns the root.
            StorageError: the root cannot be used.
            EngineUnavailableError: the first engine of the root does not run.
        """
        if self._starting is None or _is_unavailable(self._starting):
            self._starting = asyncio.ensure_future(self._take_over())
        if self._starting.done():
            self._starting.result()
        else:
            await asyncio.shield(self._starting)

    async def about(self) -> dict[str, Any]:
        """Describe the engine: root, limits, load. Raises as :meth:`start`."""
        await self.start()
        return {
            "storage": name_of(self._storage),
            "limits": asdict(self._limits),
            "instance": self._instance,
            "engines": self._registry.part.count,
            "live": len(self._floor.live),
        }

    async def engage(self, resume_interrupted: bool = False) -> dict[str, Any]:
        """Start all engines of the root; describes this one, which is the first. Raises as :meth:`start`."""
        await self.start()
        for number in self._peers.others:
            await self._io(partial(self._make, number))
        await self._peers.everywhere("start")
        if resume_interrupted:
            await self.resume_all(False)
        return await self.about()

    def _make(self, number: int) -> Any:
        """Another engine of the root: found, or made."""
        actor = ray.remote(type(self)).options(**actor_options(self._storage, number))
        return actor.remote(self._storage, self._limits, self._instance, None, number)

    async def address(self) -> str:
        """What opens the root in another process; it may hold credentials, so never show it."""
        await self.start()
        return self._storage

    async def line(self) -> Address | None:
        """Where programs can call this engine directly; the address holds a secret."""
        await self.start()
        return None if self._line is None else self._line.address

    async def on_request(self, request_id: str, verb: str, *args: Any) -> Any:
        """A command that somebody's request has caused, which the log then names."""
        engine_logs.begin(request_id, verb, args[0] if args else None)
        return await getattr(self, verb)(*args)

    async def submit(self, submission: Submission | Fork, listener: str | None = None) -> bool:
        """Record and accept a workflow; durable when this returns.

        A known id is resumed instead, or refused if ``must_be_new`` (``ray-workflows`` 1.3).

        Returns whether the workflow is that of this submission.

        Raises:
            WorkflowRunningError, WorkflowExistsError, WorkflowNotResumableError, queue.Full,
            StorageError
        """
        await self.start()
        workflow_id = submission.workflow_id
        while (live := self._floor.live.get(workflow_id)) is not None:
            runner = await live.accepted()
            if runner is None:  # it came to nothing, or is about to be gone
                await live.done()
                continue
            if runner.state.accepted.get("submission") == submission.token:
                return True
            refusal = WorkflowExistsError if submission.must_be_new else WorkflowRunningError
            raise refusal(workflow_id)
        if workflow_id in self._registry.entries:
            return await self._submit_again(submission, listener)
        await self._floor.open(
            workflow_id,
            lambda: self._create(submission),
            listener,
            is_free=not needs_slot(submission.actor, submission.parent),
        )
        return True

    async def resume(self, workflow_id: str, listener: str | None = None) -> None:
        """Continue a workflow from its checkpoints. SUCCESSFUL ones stay as they are.

        Raises:
            WorkflowRunningError, WorkflowNotResumableError, queue.Full, StorageError
        """
        await self.start()
        await self._floor.put_away(workflow_id)
        if workflow_id in self._floor.live:
            raise WorkflowRunningError(workflow_id)
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise WorkflowNotResumableError(workflow_id, "No workflow has this id.")
        if entry.status == WorkflowStatus.CANCELED:
            raise WorkflowNotResumableError(workflow_id, "It was cancelled, which is final.")
        await self._floor.open(workflow_id, lambda: self._adopt(workflow_id, resume=True), listener)

    async def cancel(self, workflow_id: str, force: bool = False, wait: bool = True) -> None:
        """Cancel a workflow and wait until nothing of it runs any more, or until that is on record.

        One that is not live becomes CANCELED, unless it has ended well or been cancelled already. If
        it has ``finally_`` tasks to run, it becomes live for them. ``force``: its tasks get no time
        to end by themselves; ``finally_`` tasks run in any case.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
            queue.Full: there is no place to run ``finally_`` tasks; the cancellation is recorded.
        """
        await self.start()
        await self._floor.put_away(workflow_id)
        if await self._floor.end(workflow_id, WorkflowRunner.request_cancel, force, wait):
            return
        entry = self._registry.entry(workflow_id)
        if entry.status in (WorkflowStatus.RESUMABLE, WorkflowStatus.FAILED):
            with self._floor.held(workflow_id):
                await self._io(self._registry.require_owned)
                is_over = await self._io(lambda: intake.cancel_at_rest(self._store, workflow_id))
                if is_over:
                    await self._registry.put(workflow_id, WorkflowStatus.CANCELED)
                    await self._family.gone(workflow_id, WorkflowStatus.CANCELED)
            if not is_over:
                await self._floor.open(workflow_id, lambda: self._adopt(workflow_id, resume=False))
                await self._floor.end(workflow_id, WorkflowRunner.request_cancel, force, wait)
                return
            self._feed.ring(workflow_id)

    async def suspend(self, workflow_id: str, force: bool = False, wait: bool = True) -> None:
        """Stop a live workflow and wait until nothing of it runs any more, or until that is on record.

        It is RESUMABLE then.

        One that is not live stays as it is. ``force``: its tasks get no time to end by themselves.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        await self.start()
        await self._floor.put_away(workflow_id)
        if await self._floor.end(workflow_id, WorkflowRunner.request_suspend, force, wait):
            return
        self._registry.entry(workflow_id)

    async def tell(self, workflow_id: str, message: Message) -> None:
        """Record a message to a workflow: a signal, an event or an answer. Durable when this returns.

        One that can be resumed keeps it until then, and an actor until a call of it waits for it.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
            WorkflowEndedError: it has ended.
            WorkflowError: the message is refused, see :func:`rayflow.runtime.waiting.message_facts`.
        """
        await self.start()
        if await self._floor.tell(workflow_id, message):
            return
        status = self._registry.entry(workflow_id).status
        if status not in (WorkflowStatus.RESUMABLE, WorkflowStatus.SUCCESSFUL):
            raise WorkflowEndedError(workflow_id, f"It is {status}.")
        with self._floor.held(workflow_id):
            await self._io(self._registry.require_owned)
            await self._io(lambda: intake.tell_at_rest(self._store, workflow_id, message))
        self._feed.ring(workflow_id)

    async def delete(self, workflow_id: str) -> None:
        """Remove a workflow and everything stored of it; its id is free again.

        Raises:
            WorkflowStillActiveError: also while forks use its results (WorkflowHasForksError).
            WorkflowNotFoundError, StorageError
        """
        await self.start()
        await self._floor.put_away(workflow_id)
        if workflow_id in self._floor.live:
            raise WorkflowStillActiveError(workflow_id)
        self._registry.entry(workflow_id)
        # Out of the index last: a crash in between leaves an entry that can be deleted again.
        with self._floor.held(workflow_id):
            await self._io(self._registry.require_owned)
            await self._require_no_forks(workflow_id)
            await self._family.gone(workflow_id, WorkflowStatus.NONE)
            await self._io(lambda: self._remove(workflow_id))
            await self._registry.remove(workflow_id)
        self._feed.ring(workflow_id)

    def _remove(self, workflow_id: str) -> None:
        """Does storage I/O. Another engine may have taken the root, and the workflow, a moment ago."""
        self._registry.require_owned()
        forks.release(self._store, workflow_id)
        self._store.delete(layout.workflow(workflow_id))

    async def status(self, workflow_id: str) -> str:
        """The status of a workflow.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        await self.start()
        return self._floor.status(workflow_id, self._registry.entry(workflow_id).status)

    async def metadata(self, workflow_id: str, task_id: str | None) -> dict[str, Any]:
        """What ``get_metadata`` returns; see :meth:`Answers.metadata`."""
        await self.start()
        return await self._answers.metadata(workflow_id, task_id)

    async def plan_resume(self, workflow_id: str) -> ResumePlan:
        """What a resume would do now, from the committed journal.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        await self.start()
        status = WorkflowStatus(self._registry.entry(workflow_id).status)
        state = await self._replay(workflow_id)
        plan: ResumePlan = await self._io(lambda: foresight.plan_resume(self._store, state, status))
        return plan

    async def lines(self, listener: str, timeout: float) -> Heard:
        """What happened to the workflows of ``listener``; a long poll of ``timeout`` seconds."""
        await self.start()
        return await self._floor.lines.fetch(listener, timeout)

    async def _take_over(self) -> None:
        carry_on = await self._prepare()
        self._line = await opened(self, self._bundles)
        if self._line is not None:
            self._bundles.open(self._line.address)
        self._floor.spawn(self._hold_root())
        self._floor.spawn(self._watch_cluster())
        await self._carry_on(self._registry.interrupted() if carry_on else [])

    async def _prepare(self) -> bool:
        """Own the root, or a part of it; whether that was so before Ray restarted this actor."""
        if self._registry.part.number > 0:
            about = await self._peers.ask(0, "about")
            carry_on = await self._registry.take_over()
            where = f"engine {self._registry.part.number}"
            await self._io(lambda: check_shared(self._storage, about["instance"], where))
            self._floor.spawn(self._tell_news())
            return carry_on
        carry_on = await self._registry.take_over(self._engines)
        if not carry_on:  # a restart must not wait for nodes: they were seen the first time
            for refusal in await self._nodes.refusals():
                raise StorageError(refusal)
        self._floor.spawn(self._sweep())
        return carry_on

    async def _sweep(self) -> None:
        try:
            count = await self._io(lambda: self._store.sweep(LEFTOVER_SECONDS))
        except StorageError as error:
            logger.warning("leftovers of interrupted writes stay: %s", error)
        else:
            logger.info("removed %d leftovers of interrupted writes", count)

    async def _hold_root(self) -> None:
        """Keep the root until another engine has it; then let go of everything and refuse all calls."""
        try:
            await self._registry.beat_for_ever()
        except FencedError as error:
            logger.error("%s This engine lets go of all its workflows.", error)
            self._starting = asyncio.get_running_loop().create_future()
            self._starting.set_exception(lost_root(self._store))
            self._starting.exception()  # seen: nobody may ask before the actor ends
            self._floor.let_go()

    def _create(self, submission: Submission | Fork) -> Opened:
        owned, epoch = self._registry.require_owned, self._registry.first_epoch
        if isinstance(submission, Fork):
            opened = forks.create(self._store, submission, before_delete=owned, first_epoch=epoch)
        else:
            opened = intake.create(self._store, submission, before_delete=owned, first_epoch=epoch)
        return self._equipped(opened)

    def _adopt(self, workflow_id: str, *, resume: bool) -> Opened:
        """Take a workflow; an engine that has lost the root must not take it from the new owner."""
        self._registry.require_owned()
        return self._equipped(intake.adopt(self._store, workflow_id, resume=resume))

    def _equipped(self, opened: Opened) -> Opened:
        """Have the packages that its tasks need in the cluster."""
        if opened.writer is not None:
            self._packages.restore(opened.environments())
        return opened

    async def _submit_again(self, submission: Submission | Fork, listener: str | None) -> bool:
        """The id is known: resume what is stored, unless this is a repeated call of ours."""
        workflow_id = submission.workflow_id
        state = await self._replay(workflow_id)
        if state.accepted.get("submission") == submission.token:
            return True
        if submission.must_be_new:
            raise WorkflowExistsError(workflow_id)
        await self.resume(workflow_id, listener)
        return False

    async def _load(self, workflow_id: str) -> list[Record]:
        records: list[Record] = await self._io(lambda: Journal(self._store, workflow_id).load())
        return records

    async def _replay(self, workflow_id: str) -> WorkflowState:
        state: WorkflowState = await self._io(Journal(self._store, workflow_id).replay)
        return state

    async def _watch_cluster(self) -> None:
        """Keep the window in proportion to the cluster, and look at the nodes that join it."""
        while True:
            cpus = (await self._io(ray.cluster_resources)).get("CPU", 0)
            self._floor.widen(cpus)
            for refusal in await self._nodes.refusals() if self._registry.part.number == 0 else []:
                logger.error("%s Attempts of tasks fail on that node until then.", refusal)
            await asyncio.sleep(WATCH_SECONDS)

    async def _io(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def _is_unavailable(starting: asyncio.Future[None]) -> bool:
    """Whether a start has failed because the first engine did not run, and is worth another try."""
    if not starting.done() or starting.cancelled():
        return False
    return isinstance(starting.exception(), EngineUnavailableError)
