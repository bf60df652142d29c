"""Parents and children among workflows: who hears of whose end, and whom a cancellation takes along.

A child's link to its parent is part of its ``accepted`` record, the parent's to its child a ``child`` record
that is durable before the child exists. So whatever crashes in between, both can be compared again when
one of them is opened.
"""

from __future__ import annotations

import asyncio
import logging
import queue
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState
from rayflow.core.waits import WaitKind, spec
from rayflow.errors import (
    StorageError,
    WorkflowEndedError,
    WorkflowNotFoundError,
    WorkflowNotResumableError,
    WorkflowRunningError,
)
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.waiting import Message
from rayflow.storage.index import SUSPENDED, IndexEntry

logger = logging.getLogger("rayflow.engine")

MAX_MESSAGE = 2_000
ENDS = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED)

Replay = Callable[[str], Awaitable[WorkflowState]]


class Engines(Protocol):
    """What does what the family wants."""

    async def call(self, workflow_id: str, verb: str, *args: Any) -> Any:
        """Call the engine that a workflow belongs to."""

    async def known(self, workflow_id: str) -> IndexEntry | None:
        """What is known of a workflow."""


def is_part(parent: dict[str, Any] | None) -> bool:
    """Whether a workflow with this ``parent`` is a part of it, because the parent waits for it."""
    return parent is not None and bool(parent["waits"])


def parent_of(state: WorkflowState, first: Sequence[Fact] = ()) -> dict[str, Any] | None:
    """The link of a workflow to its parent, if it has one; ``first`` are facts still to be recorded."""
    accepted = [fact.data for fact in first if fact.kind is Kind.ACCEPTED]
    found: dict[str, Any] | None = (accepted[0] if accepted else state.accepted).get("parent")
    return found


@dataclass(frozen=True, slots=True)
class _End:
    """How a workflow is, which may be its end; NONE if there is none."""

    workflow_id: str
    status: WorkflowStatus
    changed_at: float = 0.0
    error: dict[str, Any] | None = None
    is_suspended: bool = False


class Family:
    """Tells parents of their children's ends, and children of their parents'."""

    def __init__(self, engines: Engines, replay: Replay) -> None:
        self._engines, self._replay = engines, replay
        self._busy: set[asyncio.Task[None]] = set()

    def opened(self, runner: WorkflowRunner, first: Sequence[Fact]) -> None:
        """A workflow has become live: catch up with what has happened to its relatives meanwhile."""
        state, parent = runner.state, parent_of(runner.state)
        if parent is not None and parent["on_cancel"] == "cancel":
            self._spawn(self._go_with(parent["workflow_id"], runner))
        is_asked = any(fact.kind is Kind.RESUMED and fact.data["asked"] for fact in first)
        for task_id in state.waits.until:
            if task_id not in state.waits.met:
                self._spawn(
                    self._look(state.workflow_id, state.tasks[task_id], may_resume=is_asked)
                )

    def committed(self, state: WorkflowState, records: Sequence[Record]) -> None:
        """A wait for a child may have begun after the child's end, or anew after it has failed."""
        for record in records:
            if record.kind == Kind.WAITING and record.task_id not in state.waits.met:
                task = state.tasks.get(record.task_id or "")
                if task is not None:
                    is_repeated = (record.attempt or 1) > 1
                    self._spawn(self._look(state.workflow_id, task, may_resume=is_repeated))

    def ended(self, state: WorkflowState, status: WorkflowStatus, changed_at: float) -> None:
        """A workflow is not live any more. ``changed_at``: when the index got to know (Unix seconds)."""
        parent = parent_of(state)
        if is_part(parent) and parent is not None and status in ENDS:
            end = _End(state.workflow_id, status, changed_at, state.error)
            self._spawn(self._report(parent["workflow_id"], end))
        if status == WorkflowStatus.CANCELED:
            for child, link in state.children.items():
                if link["on_cancel"] == "cancel":
                    self._spawn(self._cancel(child))

    async def gone(self, workflow_id: str, status: WorkflowStatus) -> None:
        """One that was not live is cancelled now, or about to be deleted (NONE)."""
        try:
            state = await self._replay(workflow_id)
        except StorageError:
            return  # too damaged to say whose it was
        end = replace(await self._known(workflow_id), status=status)
        if status == WorkflowStatus.NONE and is_part(parent := parent_of(state)) and parent:
            self._spawn(self._report(parent["workflow_id"], end))
        self.ended(state, status, end.changed_at)

    async def _go_with(self, parent_id: str, runner: WorkflowRunner) -> None:
        """Cancel a child whose parent is cancelled."""
        if (await self._known(parent_id)).status == WorkflowStatus.CANCELED:
            runner.request_cancel()

    async def _look(self, parent_id: str, task: TaskState, *, may_resume: bool) -> None:
        """Compare a wait with the child that it is for."""
        wait = spec(task) or {}
        if wait["kind"] != WaitKind.CHILD:
            return
        child = await self._known(wait["name"])
        again = (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE)
        if may_resume and child.status in again and not child.is_suspended:
            await self._resume(parent_id, child.workflow_id)
        elif child.status in (*ENDS, WorkflowStatus.NONE):
            await self._report(parent_id, child)

    async def _known(self, workflow_id: str) -> _End:
        entry = await self._engines.known(workflow_id)
        if entry is None:
            return _End(workflow_id, WorkflowStatus.NONE)
        is_suspended = entry.was == SUSPENDED
        status = WorkflowStatus(entry.status)
        return _End(workflow_id, status, entry.changed_at, is_suspended=is_suspended)

    async def _resume(self, parent_id: str, child: str) -> None:
        try:
            await self._engines.call(child, "resume", child)
        except WorkflowRunningError:
            return
        except (WorkflowNotResumableError, StorageError, queue.Full) as error:
            logger.warning("child '%s' of '%s' is not resumed: %s", child, parent_id, error)
            await self._report(parent_id, await self._known(child))

    async def _report(self, parent_id: str, end: _End) -> None:
        """Tell a parent how its child has ended. Several who know of one end say it once."""
        child, error = end.workflow_id, end.error
        if error is None and end.status == WorkflowStatus.FAILED:
            with suppress(StorageError):
                error = (await self._replay(child)).error
        said = None
        if error is not None:
            said = {"type": error["type"], "message": str(error["message"])[:MAX_MESSAGE]}
            said["task_id"] = error.get("task_id")
        payload = {"child": child, "status": str(end.status), "error": said}
        with suppress(WorkflowEndedError, WorkflowNotFoundError):
            message = Message(WaitKind.CHILD, child, payload, f"{end.status} {end.changed_at}")
            await self._engines.call(parent_id, "tell", parent_id, message)

    async def _cancel(self, child: str) -> None:
        try:
            await self._engines.call(child, "cancel", child)
        except (WorkflowNotFoundError, queue.Full):
            pass
        except StorageError as error:
            logger.error("child '%s' is not cancelled with its parent: %s", child, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._busy.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a workflow was not told of its relative's end: %s", error)
