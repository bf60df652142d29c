"""Drives one workflow: commit what happened, plan, do what is planned, wait.

Everything that happens to a workflow goes through one inbox and one loop, so the journal and the state
have one order. What arrives while a commit is under way goes into the next one (group commit). No
command is carried out before the records it rests on are durable, with one exception: consumers of a
task with ``checkpoint="async"`` start as soon as its value is there. What becomes of them is held back
until everything it rests on is recorded, so records come in the order of the graph.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import Finish, StartTask, StopTask, WakeAt, plan
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.errors import DataSaveError
from rayflow.runtime.live_values import LiveValues
from rayflow.runtime.submitter import Handle, Submitter
from rayflow.runtime.worker import TaskCall

logger = logging.getLogger("rayflow.engine")

COMMIT_PATIENCE_SECONDS = 60.0


class Writer(Protocol):
    """The owner's end of a journal."""

    last_seq: int

    def commit(self, records: Sequence[Record]) -> None: ...


class Clock(Protocol):
    """Time, so that tests can make it."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runner needs besides its own workflow."""

    storage: str
    submitter: Submitter
    clock: Clock
    io: Callable[[Callable[[], None]], Awaitable[None]]
    window: Callable[[], int]
    committed: Callable[[WorkflowState], None]


@dataclass(frozen=True, slots=True)
class _Happening:
    """Something has happened; what facts follow from it is asked when its turn has come.

    Starts and plain successes do not depend on each other. Whatever else follows from an outcome
    depends on the state (names in use, who is still without a value), so it is alone in its commit.
    What happens to a task ``about`` which it is has its turn when the task's inputs are recorded.
    """

    facts: Callable[[], list[Fact]]
    is_alone: bool = True
    about: str | None = None


class WorkflowRunner:
    """One live workflow. Make it, then await :meth:`run`; everything else may be called meanwhile."""

    def __init__(
        self, state: WorkflowState, writer: Writer, around: Surroundings, token: str
    ) -> None:
        self.state = state
        self._writer, self._around, self._token = writer, around, token
        self.values = LiveValues(state)
        self._inbox: list[_Happening] = []
        self._held: list[_Happening] = []
        self._wake = asyncio.Event()
        self._handles: dict[str, Handle] = {}
        self._stopped: set[str] = set()
        self._watchers: set[asyncio.Task[None]] = set()

    async def run(self, first: Sequence[Fact] = ()) -> None:
        """Drive the workflow to its end.

        Raises:
            FencedError: another engine owns it now.
            DataSaveError: the storage refused commits for too long.
        """
        facts = list(first)
        try:
            while True:
                await self.commit(facts)
                finish, wake_at = self._execute()
                if finish is not None:
                    await self.commit([self._status(finish)])
                    return
                facts = await self._happened(wake_at)
        finally:
            self._abandon()

    async def commit(self, facts: Sequence[Fact], *, patiently: bool = True) -> None:
        """Make facts durable, then take them into account.

        Raises:
            FencedError: another engine owns the workflow now.
            DataSaveError: the storage refused, at once or (``patiently``) for too long.
        """
        if not facts:
            return
        now, seq = self._around.clock.now(), self.state.last_seq
        records = [fact.at(seq + n, now) for n, fact in enumerate(facts, start=1)]
        await self._write(records, COMMIT_PATIENCE_SECONDS if patiently else 0.0)
        for record in records:
            self.state.apply(record)
            self.values.recorded(record)
        self._around.committed(self.state)

    def started(self, task_id: str, attempt: int, token: str) -> None:
        """A worker says that an attempt is running."""
        if token == self._token and self.state.in_flight.get(task_id) == attempt:
            fact = Fact(Kind.STARTED, task_id, attempt)
            self._put(
                lambda: [fact] if self._is_running(task_id, attempt) else [],
                is_alone=False,
                about=task_id,
            )

    def _is_running(self, task_id: str, attempt: int) -> bool:
        """Whether an attempt is under way, its outcome has not come, and something may come of it."""
        is_this = self.state.in_flight.get(task_id) == attempt and task_id in self._handles
        return is_this and task_id not in self.state.outdated

    def request_cancel(self) -> None:
        """Cancel the workflow: a recorded fact, not only a signal."""
        self._put(lambda: [] if self.state.cancel_requested else [Fact(Kind.CANCEL_REQUESTED)])

    def request_suspend(self) -> None:
        """Stop the workflow so that it can be resumed: a recorded fact, not only a signal."""
        self._put(lambda: [] if self.state.suspend_requested else [Fact(Kind.SUSPEND_REQUESTED)])

    def admit(self, fact: Fact) -> None:
        """A pending workflow may run now."""
        self._put(lambda: [fact])

    def _put(
        self, facts: Callable[[], list[Fact]], *, is_alone: bool = True, about: str | None = None
    ) -> None:
        self._inbox.append(_Happening(facts, is_alone, about))
        self._wake.set()

    def _must_wait(self, happening: _Happening) -> bool:
        """Whether it rests on values that are not recorded yet, but may still be."""
        task_id = happening.about
        if task_id is None or task_id in self.state.outdated:
            return False
        return self.state.tasks[task_id].missing > 0

    async def _happened(self, wake_at: float | None) -> list[Fact]:
        """Wait until something has happened; the facts of all that has."""
        self._inbox = [h for h in self._held if not self._must_wait(h)] + self._inbox
        self._held = [h for h in self._held if self._must_wait(h)]
        if not self._inbox:
            if wake_at is None:
                await self._wake.wait()
            else:
                clock = self._around.clock
                await clock.wait(self._wake, max(0.0, wake_at - clock.now()))
        self._wake.clear()
        happenings, self._inbox = deque(self._inbox), []
        facts: list[Fact] = []
        while happenings:
            if facts and happenings[0].is_alone:
                break
            happening = happenings.popleft()
            if self._must_wait(happening):
                self._held.append(happening)
                continue
            facts += happening.facts()
            if facts and happening.is_alone:
                break
        if happenings:
            self._inbox = [*happenings, *self._inbox]
            self._wake.set()
        return facts

    def _execute(self) -> tuple[Finish | None, float | None]:
        finish, wake_at = None, None
        commands = plan(self.state, self._around.clock.now(), window=self._around.window())
        for command in commands:
            match command:
                case StartTask(task_id, attempt):
                    self._start(task_id, attempt)
                case StopTask(task_id):
                    self._stop(task_id)
                case WakeAt(time):
                    wake_at = time
                case Finish():
                    finish = command
        return finish, wake_at

    def _start(self, task_id: str, attempt: int) -> None:
        task = self.state.tasks[task_id]
        self.state.dispatch(task_id, attempt)
        options = {k: v for k, v in task.options["ray"].items() if k != "_labels"}
        inputs = [self.state.tasks[u] for u in task.upstream]
        refs = [(i, ref) for i, t in enumerate(inputs) if (ref := self.values.ref(t)) is not None]
        checkpoint = task.options["checkpoint"]
        call = TaskCall(
            self._around.storage,
            self.state.workflow_id,
            task_id,
            attempt,
            task.function,
            task.args,
            tuple(self.values.stored(t) for t in inputs),
            bool(task.options["catch_exceptions"]),
            True if checkpoint is None else checkpoint,
            self._token,
            task.options.get("judge"),
        )
        try:
            handle = self._around.submitter.submit(call, options, refs)
        except (ValueError, TypeError) as error:
            described = {
                "type": type(error).__name__,
                "traceback": None,
                "message": f"Ray refused the options of the task: {error}",
            }
            outcome = Outcome("error", error=described, retryable=False)
            self._put(lambda: self._settle(task_id, attempt, outcome, None), about=task_id)
            return
        self._handles[task_id] = handle
        watcher = asyncio.ensure_future(self._watch(call, handle))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watched)

    def _stop(self, task_id: str) -> None:
        if task_id not in self._stopped and task_id in self._handles:
            self._stopped.add(task_id)
            self._around.submitter.stop(self._handles[task_id])

    async def _watch(self, call: TaskCall, handle: Handle) -> None:
        outcome = await self._around.submitter.outcome(handle)
        if outcome.kind == "value" and call.checkpoint == "async":
            outcome = await self._lent(call, handle, outcome)
        self._put(
            lambda: self._settle(call.task_id, call.attempt, outcome, handle),
            is_alone=outcome.kind != "value",
            about=call.task_id,
        )

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """An error in a watcher is one of the whole workflow: nobody would hear of the attempt else."""
        self._watchers.discard(watcher)
        error = None if watcher.cancelled() else watcher.exception()
        if error is not None:

            def fail() -> list[Fact]:
                raise error

            self._put(fail)

    async def _lent(self, call: TaskCall, handle: Handle, outcome: Outcome) -> Outcome:
        """Let consumers start from a value, and have it stored meanwhile if its worker did not."""
        task_id, value = call.task_id, outcome.value
        assert value is not None
        is_stored = value.data is not None or value.key is not None
        if task_id in self._stopped or task_id in self.state.outdated:
            return outcome if is_stored else Outcome("stopped")
        self.values.keep(task_id, value, handle.value, in_memory=True)
        self.state.lend(task_id)
        self._start_ready()
        if is_stored:
            return outcome
        storing = self._around.submitter.store(call, outcome, handle)
        self._handles[task_id] = storing
        return await self._around.submitter.outcome(storing)

    def _start_ready(self) -> None:
        """Start what can start at once, also while a commit is under way."""
        for command in plan(self.state, self._around.clock.now(), window=self._around.window()):
            if isinstance(command, StartTask):
                self._start(command.task_id, command.attempt)

    def _settle(
        self, task_id: str, attempt: int, outcome: Outcome, handle: Handle | None
    ) -> list[Fact]:
        """The facts that an outcome leads to, now that its turn has come."""
        self._handles.pop(task_id, None)
        if task_id in self._stopped:
            self._stopped.discard(task_id)
            if outcome.kind == "lost":
                outcome = replace(outcome, kind="stopped")
        facts = facts_of(self.state, task_id, attempt, outcome, self._around.clock.now())
        if outcome.kind != "value" or not facts:
            self.values.drop(task_id)
        elif handle is not None and outcome.value is not None:
            in_memory = not outcome.checkpoint
            self.values.keep(task_id, outcome.value, handle.value, in_memory=in_memory)
        if not facts:
            self.state.settle(task_id)
            return []
        self.values.release_inputs(self.state.tasks[task_id])
        return facts

    def _status(self, finish: Finish) -> Fact:
        successful = finish.status is WorkflowStatus.SUCCESSFUL
        output = self.state.tasks[self.values.source(self.state.output)] if successful else None
        return Fact(
            Kind.STATUS,
            data={
                "status": str(finish.status),
                "reason": finish.reason,
                "error": finish.error,
                "output": output.preview if output else None,
            },
        )

    async def _write(self, records: list[Record], patience: float) -> None:
        """Commit, and have patience with a storage that fails: nothing is lost by waiting."""
        clock = self._around.clock
        deadline, delay = clock.now() + patience, 0.1
        while True:
            try:
                await self._around.io(lambda: self._writer.commit(records))
                return
            except DataSaveError as error:
                if clock.now() + delay > deadline:
                    raise
                logger.warning("workflow '%s': %s Trying again.", self.state.workflow_id, error)
                await clock.sleep(delay)
                delay = min(delay * 2, 5.0)

    def _abandon(self) -> None:
        """Nothing may run on when the loop has ended, whatever ended it."""
        for watcher in self._watchers:
            watcher.cancel()
        for handle in self._handles.values():
            self._around.submitter.stop(handle)
