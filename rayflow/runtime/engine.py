"""The engine: the detached actor that owns and drives the workflows of one storage root.

All its methods are idempotent, because Ray repeats a call whose answer was lost with the actor's
process. Storage I/O runs in threads, never on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import ray

from rayflow.config import Limits
from rayflow.core.graph import Graph, task_facts
from rayflow.core.planner import failed_tasks, lost_values
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.errors import (
    FencedError,
    StorageError,
    WorkflowCancellationError,
    WorkflowExistsError,
    WorkflowNotFoundError,
    WorkflowNotResumableError,
    WorkflowRunningError,
    WorkflowStillActiveError,
)
from rayflow.runtime import metadata, results
from rayflow.runtime.admission import Admission
from rayflow.runtime.executor import Surroundings, WorkflowRunner
from rayflow.runtime.feed import Changes, Feed
from rayflow.runtime.references import Output
from rayflow.runtime.registry import Registry
from rayflow.runtime.submitter import RaySubmitter
from rayflow.storage import layout
from rayflow.storage.journal import Journal, JournalWriter
from rayflow.storage.root import open_store

logger = logging.getLogger("rayflow.engine")

IO_THREADS = 16
MIN_WINDOW = 32
WINDOW_PER_CPU = 4


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to run a graph. ``token`` tells a repeated call from a second submission."""

    workflow_id: str
    graph: Graph
    token: str
    metadata: dict[str, Any] = field(default_factory=dict)
    definition: str | None = None
    params: dict[str, Any] | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    created_by: str | None = None
    must_be_new: bool = False


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class _Live:
    """A workflow that this engine drives."""

    token: str
    runner: WorkflowRunner | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Engine:
    """One per storage root. Made by :mod:`rayflow.runtime.cluster`, never directly."""

    def __init__(self, storage: str, limits: Limits, instance: str) -> None:
        self._storage, self._limits, self._instance = storage, limits, instance
        self._store = open_store(storage)
        self._threads = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="rayflow-io")
        self._live: dict[str, _Live] = {}
        self._admission = Admission(limits)
        self._running: set[asyncio.Task[None]] = set()
        self._window = MIN_WINDOW
        self._starting: asyncio.Task[None] | None = None
        self._handle = ray.get_runtime_context().current_actor
        self._registry = Registry(self._store, instance, self._io)
        self._feed = Feed()
        # A restarted engine carries on without waiting for anybody to call it.
        self._handle.start.remote()

    async def start(self, resume_interrupted: bool = False) -> dict[str, Any]:
        """Take over the root, once. Returns what :meth:`describe` does.

        Raises:
            RootInUseError: another live engine owns the root.
        """
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._take_over())
        await asyncio.shield(self._starting)
        if resume_interrupted:
            await self.resume_all(False)
        return self.describe_now()

    def describe_now(self) -> dict[str, Any]:
        """Root, limits and load of this engine."""
        return {"storage": self._storage, "limits": asdict(self._limits),
                "instance": self._instance, "live": len(self._live)}

    async def describe(self) -> dict[str, Any]:
        """Root, limits and load of this engine."""
        await self.start()
        return self.describe_now()

    async def submit(self, submission: Submission) -> str:
        """Record and accept a workflow; durable when this returns. Returns its status.

        A known id is resumed instead, or refused if ``must_be_new`` (``ray-workflows`` 1.3).

        Raises:
            WorkflowRunningError, WorkflowExistsError, WorkflowNotResumableError, queue.Full, StorageError
        """
        await self.start()
        workflow_id = submission.workflow_id
        live = self._live.get(workflow_id)
        if live is not None and live.token != submission.token:
            raise (WorkflowExistsError if submission.must_be_new else WorkflowRunningError)(workflow_id)
        if live is not None:
            await self._accepted(live)
            return str(WorkflowStatus.RUNNING)
        if workflow_id in self._registry.entries:
            return await self._submit_again(submission)
        await self._open(workflow_id, submission.token, lambda live: self._create(submission, live))
        return str(self._registry.entries[workflow_id].status)

    async def resume(self, workflow_id: str) -> str:
        """Continue a workflow from its checkpoints. Returns its status; SUCCESSFUL ones stay so.

        Raises:
            WorkflowRunningError, WorkflowNotResumableError, queue.Full, StorageError
        """
        await self.start()
        if workflow_id in self._live:
            raise WorkflowRunningError(workflow_id)
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise WorkflowNotResumableError(workflow_id, "No workflow has this id.")
        if entry.status == WorkflowStatus.CANCELED:
            raise WorkflowNotResumableError(workflow_id, "It was cancelled, which is final.")
        await self._open(workflow_id, "", lambda live: self._adopt(workflow_id, live, resume=True))
        return str(self._registry.entries[workflow_id].status)

    async def resume_all(self, include_failed: bool) -> list[str]:
        """Resume all RESUMABLE workflows, on request the FAILED ones too. Returns their ids.

        Those that were running come before those that were pending. One that cannot be resumed is
        logged and left out.
        """
        await self.start()
        resumed = []
        for workflow_id in self._registry.resumable(include_failed):
            try:
                await self.resume(workflow_id)
            except (WorkflowNotResumableError, WorkflowRunningError, StorageError) as error:
                logger.warning("not resumed: %s", error)
                continue
            resumed.append(workflow_id)
        return resumed

    async def cancel(self, workflow_id: str) -> None:
        """Cancel a workflow and wait until nothing of it runs any more.

        One that is not live becomes CANCELED, unless it has ended already.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        await self.start()
        live = self._live.get(workflow_id)
        if live is not None:
            await self._accepted(live)
            if live.runner is not None:
                live.runner.request_cancel()
            await live.done.wait()
            return
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise WorkflowNotFoundError(workflow_id)
        if entry.status in (WorkflowStatus.RESUMABLE, WorkflowStatus.FAILED):
            await self._io(lambda: self._cancel_at_rest(workflow_id))
            await self._registry.put(workflow_id, WorkflowStatus.CANCELED)
            self._feed.ring(workflow_id)

    async def delete(self, workflow_id: str) -> None:
        """Remove a workflow and everything stored of it; its id is free again.

        Raises:
            WorkflowStillActiveError, WorkflowNotFoundError
        """
        await self.start()
        if workflow_id in self._live:
            raise WorkflowStillActiveError(workflow_id)
        if workflow_id not in self._registry.entries:
            raise WorkflowNotFoundError(workflow_id)
        # Out of the index last: a crash in between leaves an entry that can be deleted again.
        await self._io(lambda: self._store.delete(layout.workflow(workflow_id)))
        await self._registry.remove(workflow_id)
        self._feed.ring(workflow_id)

    async def status(self, workflow_id: str) -> str:
        """The status of a workflow.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        await self.start()
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise WorkflowNotFoundError(workflow_id)
        return str(entry.status)

    async def list(self) -> list[tuple[str, str]]:
        """All ids with their status: RESUMABLE ones last, formerly running before pending."""
        await self.start()
        return self._registry.listing()

    async def metadata(self, workflow_id: str, task_id: str | None) -> dict[str, Any]:
        """What ``get_metadata`` returns, from the committed journal."""
        await self.start()
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise ValueError(f"No such workflow_id '{workflow_id}'")
        records = await self._io(lambda: Journal(self._store, workflow_id).load())
        if task_id is None:
            return metadata.of_workflow(records, entry.status)
        return metadata.of_task(records, workflow_id, task_id)

    async def output(self, workflow_id: str, task_id: str | None = None) -> Output:
        """The output of a workflow or of one of its tasks; waits while the workflow is live.

        Raises:
            WorkflowExecutionError, WorkflowCancellationError: a live workflow ended so.
            OutputNotAvailableError: there is no such output.
        """
        await self.start()
        live = self._live.get(workflow_id)
        if live is not None:
            await self._accepted(live)
            found = await self._await_output(live, task_id)
            if found is not None:
                return found
            return await self._stored_output(workflow_id, task_id, waited=True)
        return await self._stored_output(workflow_id, task_id, waited=False)

    async def changes(self, cursor: str | None, timeout: float) -> Changes:
        """Which workflows changed behind ``cursor``; a long poll of ``timeout`` seconds."""
        await self.start()
        return await self._feed.changes(cursor, timeout)

    async def task_started(self, workflow_id: str, task_id: str, attempt: int, token: str) -> None:
        """A worker says that the body of an attempt is running."""
        live = self._live.get(workflow_id)
        if live is not None and live.runner is not None:
            live.runner.started(task_id, attempt, token)

    async def _take_over(self) -> None:
        carry_on = await self._registry.take_over()
        self._spawn(self._registry.beat_for_ever())
        self._spawn(self._watch_cluster())
        for workflow_id in self._registry.interrupted() if carry_on else []:
            # Their slots were granted before, so limits cannot refuse them now.
            await self._recover(workflow_id)

    async def _recover(self, workflow_id: str) -> None:
        try:
            await self._open(
                workflow_id, "", lambda live: self._adopt(workflow_id, live, resume=False))
        except StorageError as error:
            logger.error("workflow '%s' cannot be recovered: %s", workflow_id, error)
            await self._registry.put(workflow_id, WorkflowStatus.RESUMABLE)
            self._feed.ring(workflow_id)

    async def _submit_again(self, submission: Submission) -> str:
        """The id is known: resume what is stored, unless this is a repeated call of ours."""
        workflow_id = submission.workflow_id
        entry = self._registry.entries[workflow_id]
        records = await self._io(lambda: Journal(self._store, workflow_id).load())
        state = fold(records)
        if submission.must_be_new and state.accepted.get("submission") != submission.token:
            raise WorkflowExistsError(workflow_id)
        if entry.status == WorkflowStatus.SUCCESSFUL or (
                state.accepted.get("submission") == submission.token):
            return str(entry.status)
        return await self.resume(workflow_id)

    async def _open(
        self, workflow_id: str, token: str, prepare: Callable[[_Live], Any]
    ) -> None:
        """Make a workflow live: the place is taken before the first await, so nobody can be second."""
        live = _Live(token)
        self._live[workflow_id] = live
        try:
            may_run = self._admission.enter(workflow_id)
            first = await prepare(live)
            runner = live.runner
            assert runner is not None
            if runner.state.is_finished and not first:
                self._close(workflow_id)  # nothing to resume: it has its output
                return
            status = WorkflowStatus.RUNNING if may_run else WorkflowStatus.PENDING
            first.append(Fact(Kind.STATUS, data={"status": str(status), "reason": None,
                                                 "error": None, "output": None}))
            await runner.commit(first)
            await self._registry.put(
                workflow_id, status, definition=runner.state.accepted.get("definition"))
        except BaseException:
            self._close(workflow_id)
            raise
        self._feed.ring(workflow_id)
        live.changed.set()
        self._spawn(self._drive(workflow_id, live, runner))

    async def _create(self, submission: Submission, live: _Live) -> list[Fact]:
        journal = Journal(self._store, submission.workflow_id)
        facts, root = task_facts(submission.graph, {}, {})
        accepted = {
            "workflow_id": submission.workflow_id, "root": root, "submission": submission.token,
            "definition": submission.definition, "params": submission.params,
            "metadata": submission.metadata, "tags": submission.tags,
            "created_by": submission.created_by, "task_count": len(facts),
        }
        state, writer = WorkflowState(), journal.create()
        if await self._io(lambda: self._store.list(layout.journal(submission.workflow_id))):
            # Left by a submission that was never acknowledged: its records do not count.
            await self._io(lambda: self._store.delete(layout.workflow(submission.workflow_id)))
        live.runner = self._runner(state, writer, live)
        return [Fact(Kind.ACCEPTED, data=accepted), *facts]

    async def _adopt(self, workflow_id: str, live: _Live, *, resume: bool) -> list[Fact]:
        """Claim a stored workflow; the facts that make it continue."""
        journal = Journal(self._store, workflow_id)
        records = await self._io(journal.load)
        if not records:
            raise WorkflowNotResumableError(workflow_id, "Nothing was stored of it.")
        state = fold(records)
        if state.status is WorkflowStatus.SUCCESSFUL and not lost_values(state):
            live.runner = self._runner(state, None, live)
            return []
        writer, records = await self._io(lambda: journal.claim(time.time()))
        state = fold(records)
        reset = lost_values(state)
        if state.is_finished:
            reset += failed_tasks(state)
        live.runner = self._runner(state, writer, live)
        return [Fact(Kind.RESUMED, data={"reset": reset})] if reset or resume else []

    def _runner(
        self, state: WorkflowState, writer: JournalWriter | None, live: _Live
    ) -> WorkflowRunner:
        def committed(state: WorkflowState) -> None:
            live.changed.set()
            self._feed.ring(state.workflow_id)

        around = Surroundings(
            self._storage, RaySubmitter(self._handle), RealClock(), self._io,
            lambda: self._window, committed,
        )
        token = f"{self._instance}:{live.token}:{id(live):x}"
        return WorkflowRunner(state, writer, around, token)  # type: ignore[arg-type]

    async def _drive(self, workflow_id: str, live: _Live, runner: WorkflowRunner) -> None:
        status = WorkflowStatus.RESUMABLE
        try:
            await runner.run()
            status = runner.state.status
        except FencedError as error:
            logger.warning("let go of workflow '%s': %s", workflow_id, error)
        except StorageError as error:
            logger.error("workflow '%s' is RESUMABLE: %s", workflow_id, error)
        except Exception:
            logger.exception("workflow '%s' is RESUMABLE after an error in the engine", workflow_id)
        try:
            await self._registry.put(workflow_id, status)
        except StorageError as error:
            logger.error("the index does not know the end of workflow '%s': %s", workflow_id, error)
        self._close(workflow_id)

    def _close(self, workflow_id: str) -> None:
        """The workflow is not live any more; its slot goes to the next one in the queue."""
        live = self._live.pop(workflow_id)
        live.changed.set()
        live.done.set()
        self._admission.leave(workflow_id)
        self._feed.ring(workflow_id)
        for promoted in self._admission.promoted():
            self._spawn(self._promote(promoted))

    async def _promote(self, workflow_id: str) -> None:
        live = self._live[workflow_id]
        await self._accepted(live)
        if live.runner is not None and not live.done.is_set():
            live.runner.admit(Fact(Kind.STATUS, data={
                "status": str(WorkflowStatus.RUNNING), "reason": None, "error": None,
                "output": None}))
            await self._registry.put(workflow_id, WorkflowStatus.RUNNING)

    async def _accepted(self, live: _Live) -> None:
        """Wait until a workflow that is being opened has been accepted, or not."""
        while not live.done.is_set() and (
                live.runner is None or live.runner.state.status is WorkflowStatus.NONE):
            live.changed.clear()
            await live.changed.wait()

    async def _await_output(self, live: _Live, task_id: str | None) -> Output | None:
        """The output as soon as it is there; None if the workflow ended without our seeing it."""
        runner = live.runner
        while runner is not None:
            state = runner.state
            task = state.tasks.get(task_id or state.root)
            if task is not None and results.is_ready(state, task, whole=task_id is None):
                stored = runner.stored(task)
                ref = runner.live_ref(task)
                if ref is not None or (stored is not None and (stored.key or stored.data)):
                    return Output(self._storage, stored, ref)
                return None
            if live.done.is_set() or (task_id is not None and state.is_finished):
                return None
            live.changed.clear()
            await live.changed.wait()
        return None

    async def _stored_output(
        self, workflow_id: str, task_id: str | None, *, waited: bool
    ) -> Output:
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            if waited:
                raise WorkflowCancellationError(workflow_id, "It was deleted meanwhile.")
            results.refuse_unknown(workflow_id)
        records = await self._io(lambda: Journal(self._store, workflow_id).load())
        return results.from_journal(
            self._storage, fold(records), records, workflow_id, task_id, waited=waited)

    def _cancel_at_rest(self, workflow_id: str) -> None:
        writer, records = Journal(self._store, workflow_id).claim(time.time())
        facts = [Fact(Kind.CANCEL_REQUESTED), Fact(Kind.STATUS, data={
            "status": str(WorkflowStatus.CANCELED), "reason": None, "error": None,
            "output": None})]
        last = records[-1].seq
        writer.commit([f.at(last + n, time.time()) for n, f in enumerate(facts, start=1)])

    async def _watch_cluster(self) -> None:
        """Keep the in-flight window in proportion to the cluster."""
        while True:
            cpus = (await self._io(ray.cluster_resources)).get("CPU", 0)
            self._window = max(MIN_WINDOW, int(WINDOW_PER_CPU * cpus))
            await asyncio.sleep(5)

    async def _io(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


