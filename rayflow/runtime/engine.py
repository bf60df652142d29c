"""The engine: the detached actor that owns and drives the workflows of one storage root.

All its methods are idempotent, because Ray repeats a call whose answer was lost with the actor's
process. Storage I/O runs in threads, never on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import ray

from rayflow.config import Limits
from rayflow.core.records import Record, WorkflowStatus
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
from rayflow.runtime import intake, metadata, results
from rayflow.runtime.admission import Admission
from rayflow.runtime.executor import Surroundings, WorkflowRunner
from rayflow.runtime.feed import Changes, Feed
from rayflow.runtime.intake import Opened, Submission, status_fact
from rayflow.runtime.live import LiveWorkflow
from rayflow.runtime.references import Output
from rayflow.runtime.registry import Registry
from rayflow.runtime.shared import check_nodes
from rayflow.runtime.submitter import RaySubmitter
from rayflow.storage import layout
from rayflow.storage.address import name_of
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store

logger = logging.getLogger("rayflow.engine")

IO_THREADS = 16
MIN_WINDOW = 32
WINDOW_PER_CPU = 4


class RealClock:
    """Time as it is."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for ``event``, but no longer than this."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)


class Engine:
    """One per storage root. Made by :mod:`rayflow.runtime.cluster`, never directly."""

    def __init__(self, storage: str, limits: Limits, instance: str) -> None:
        self._storage, self._limits, self._instance = storage, limits, instance
        self._store = open_store(storage)
        self._threads = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="rayflow-io")
        self._live: dict[str, LiveWorkflow] = {}
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
        """Take over the root, once, and describe the engine: root, limits, load.

        Raises:
            RootInUseError: another live engine owns the root.
            StorageError: the root cannot be used.
        """
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._take_over())
        await asyncio.shield(self._starting)
        if resume_interrupted:
            await self.resume_all(False)
        return {
            "storage": name_of(self._storage),
            "limits": asdict(self._limits),
            "instance": self._instance,
            "live": len(self._live),
        }

    async def address(self) -> str:
        """What opens the root in another process; it may hold credentials, so never show it."""
        await self.start()
        return self._storage

    async def submit(self, submission: Submission) -> None:
        """Record and accept a workflow; durable when this returns.

        A known id is resumed instead, or refused if ``must_be_new`` (``ray-workflows`` 1.3).

        Raises:
            WorkflowRunningError, WorkflowExistsError, WorkflowNotResumableError, queue.Full,
            StorageError
        """
        await self.start()
        workflow_id = submission.workflow_id
        live = self._live.get(workflow_id)
        if live is not None and live.token != submission.token:
            refusal = WorkflowExistsError if submission.must_be_new else WorkflowRunningError
            raise refusal(workflow_id)
        if live is not None:
            await live.accepted()
        elif workflow_id in self._registry.entries:
            await self._submit_again(submission)
        else:
            await self._open(
                workflow_id, submission.token, lambda: intake.create(self._store, submission)
            )

    async def resume(self, workflow_id: str) -> None:
        """Continue a workflow from its checkpoints. SUCCESSFUL ones stay as they are.

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
        await self._open(
            workflow_id, "", lambda: intake.adopt(self._store, workflow_id, resume=True)
        )

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

        One that is not live becomes CANCELED, unless it has ended well or been cancelled already. If
        it has ``finally_`` tasks to run, it becomes live for them.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
            queue.Full: there is no place to run ``finally_`` tasks; the cancellation is recorded.
        """
        await self.start()
        if await self._end_live(workflow_id, WorkflowRunner.request_cancel):
            return
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise WorkflowNotFoundError(workflow_id)
        if entry.status in (WorkflowStatus.RESUMABLE, WorkflowStatus.FAILED):
            if not await self._io(lambda: intake.cancel_at_rest(self._store, workflow_id)):
                await self._open(
                    workflow_id, "", lambda: intake.adopt(self._store, workflow_id, resume=False)
                )
                await self._end_live(workflow_id, WorkflowRunner.request_cancel)
                return
            await self._registry.put(workflow_id, WorkflowStatus.CANCELED)
            self._feed.ring(workflow_id)

    async def suspend(self, workflow_id: str) -> None:
        """Stop a live workflow and wait until nothing of it runs any more; it is RESUMABLE then.

        One that is not live stays as it is.

        Raises:
            WorkflowNotFoundError: no workflow has this id.
        """
        await self.start()
        if await self._end_live(workflow_id, WorkflowRunner.request_suspend):
            return
        if workflow_id not in self._registry.entries:
            raise WorkflowNotFoundError(workflow_id)

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

    async def list_workflows(self) -> list[tuple[str, str]]:
        """All ids with their status: RESUMABLE ones last, formerly running before pending."""
        await self.start()
        return self._registry.listing()

    async def metadata(self, workflow_id: str, task_id: str | None) -> dict[str, Any]:
        """What ``get_metadata`` returns, from the committed journal.

        Raises:
            ValueError: no such workflow or task.
        """
        await self.start()
        entry = self._registry.entries.get(workflow_id)
        if entry is None:
            raise ValueError(f"No such workflow_id '{workflow_id}'")
        records = await self._load(workflow_id)
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
            found = await live.output(self._storage, task_id)
            if found is not None:
                return found
        if workflow_id not in self._registry.entries:
            if live is not None:
                raise WorkflowCancellationError(workflow_id, "It was deleted meanwhile.")
            raise results.unknown(workflow_id)
        records = await self._load(workflow_id)
        output: Output = await self._io(
            lambda: results.from_journal(
                self._storage, records, workflow_id, task_id, waited=live is not None
            )
        )
        return output

    async def changes(self, cursor: str | None, timeout: float) -> Changes:
        """Which workflows changed behind ``cursor``; a long poll of ``timeout`` seconds."""
        await self.start()
        return await self._feed.changes(cursor, timeout)

    async def task_started(self, workflow_id: str, task_id: str, attempt: int, token: str) -> None:
        """A worker says that the body of an attempt is running."""
        live = self._live.get(workflow_id)
        if live is not None and live.runner is not None:
            live.runner.started(task_id, attempt, token)

    async def _end_live(self, workflow_id: str, request: Callable[[WorkflowRunner], None]) -> bool:
        """Ask a live workflow to end and wait until it has; False if it is not live."""
        live = self._live.get(workflow_id)
        if live is None:
            return False
        runner = await live.accepted()
        if runner is not None:
            request(runner)
        await live.done()
        return True

    async def _take_over(self) -> None:
        carry_on = await self._registry.take_over()
        if not carry_on:  # a restart must not wait for nodes: they were seen the first time
            await check_nodes(self._storage, self._instance)
        self._spawn(self._registry.beat_for_ever())
        self._spawn(self._watch_cluster())
        for workflow_id in self._registry.interrupted() if carry_on else []:
            # Taken in the order in which they came, so the limits give the same split as before.
            await self._recover(workflow_id)

    async def _recover(self, workflow_id: str) -> None:
        try:
            await self._open(
                workflow_id, "", lambda: intake.adopt(self._store, workflow_id, resume=False)
            )
        except (StorageError, WorkflowNotResumableError) as error:
            logger.error("workflow '%s' cannot be recovered: %s", workflow_id, error)
            await self._registry.put(workflow_id, WorkflowStatus.RESUMABLE)
            self._feed.ring(workflow_id)

    async def _submit_again(self, submission: Submission) -> None:
        """The id is known: resume what is stored, unless this is a repeated call of ours."""
        workflow_id = submission.workflow_id
        state = fold(await self._load(workflow_id))
        if state.accepted.get("submission") == submission.token:
            return
        if submission.must_be_new:
            raise WorkflowExistsError(workflow_id)
        await self.resume(workflow_id)

    async def _open(self, workflow_id: str, token: str, prepare: Callable[[], Opened]) -> None:
        """Make a workflow live: its place is taken before the first await, so nobody is second."""
        may_run = self._admission.enter(workflow_id)
        live = self._live[workflow_id] = LiveWorkflow(token)
        try:
            opened: Opened = await self._io(prepare)
            if opened.writer is None:  # it has its output already
                self._close(workflow_id)
                return
            runner = live.runner = WorkflowRunner(
                opened.state,
                opened.writer,
                self._surroundings(live),
                f"{self._instance}:{id(live):x}",
            )
            status = WorkflowStatus.RUNNING if may_run else WorkflowStatus.PENDING
            await runner.commit([*opened.first, status_fact(status)], patiently=False)
            definition = runner.state.accepted.get("definition")
            await self._registry.put(workflow_id, status, definition=definition)
        except BaseException:
            self._close(workflow_id)
            raise
        live.accept()
        self._feed.ring(workflow_id)
        self._spawn(self._drive(workflow_id, runner))

    def _surroundings(self, live: LiveWorkflow) -> Surroundings:
        def committed(state: WorkflowState) -> None:
            live.notify()
            self._feed.ring(state.workflow_id)

        submitter, clock = RaySubmitter(self._handle), RealClock()
        return Surroundings(
            self._storage, submitter, clock, self._io, lambda: self._window, committed
        )

    async def _drive(self, workflow_id: str, runner: WorkflowRunner) -> None:
        status = WorkflowStatus.RESUMABLE
        try:
            await runner.run()
            status = runner.state.status
        except FencedError as error:
            logger.warning("let go of workflow '%s': %s", workflow_id, error)
        except StorageError as error:
            logger.error("workflow '%s' is RESUMABLE: %s", workflow_id, error)
        except Exception:
            logger.exception("workflow '%s' is RESUMABLE after an error of the engine", workflow_id)
        try:
            await self._registry.put(workflow_id, status)
        except StorageError as error:
            logger.error("the index does not know the end of workflow '%s': %s", workflow_id, error)
        self._close(workflow_id)

    def _close(self, workflow_id: str) -> None:
        """The workflow is not live any more; its slot goes to the next one in the queue."""
        self._live.pop(workflow_id).finish()
        self._admission.leave(workflow_id)
        self._feed.ring(workflow_id)
        for promoted in self._admission.promoted():
            self._spawn(self._promote(promoted))

    async def _promote(self, workflow_id: str) -> None:
        live = self._live[workflow_id]
        runner = await live.accepted()
        if runner is not None and not live.is_done:
            runner.admit(status_fact(WorkflowStatus.RUNNING))
            await self._registry.put(workflow_id, WorkflowStatus.RUNNING)

    async def _load(self, workflow_id: str) -> list[Record]:
        records: list[Record] = await self._io(lambda: Journal(self._store, workflow_id).load())
        return records

    async def _watch_cluster(self) -> None:
        """Keep the in-flight window in proportion to the cluster."""
        while True:
            cpus = (await self._io(ray.cluster_resources)).get("CPU", 0)
            self._window = max(MIN_WINDOW, int(WINDOW_PER_CPU * cpus))
            await asyncio.sleep(5)

    async def _io(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
