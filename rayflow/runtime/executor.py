"""Drives one workflow: commit what happened, plan, do what is planned, wait.

Everything that happens to a workflow goes through one inbox and one loop, so the journal and the state
have one order. What arrives while a commit is under way goes into the next one (group commit). No
command is carried out before the records it rests on are durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from rayflow.core.deadlines import StopTask, WakeAt
from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import Finish, StartTask, TimeOut, plan
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import TaskState, TaskStatus, WorkflowState
from rayflow.errors import FencedError
from rayflow.runtime import environment
from rayflow.runtime.stopping import ended
from rayflow.runtime.submitter import Handle
from rayflow.runtime.surroundings import Surroundings, Writer, write
from rayflow.runtime.worker import TaskCall

COMMIT_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Happening:
    """Something has happened; what facts follow from it is asked when its turn has come.

    Starts and plain successes do not depend on each other. Whatever else follows from an outcome
    depends on the state (names in use, who is still without a value), so it is alone in its commit.
    """

    facts: Callable[[], list[Fact]]
    is_alone: bool = True


class WorkflowRunner:
    """One live workflow. Make it, then await :meth:`run`; everything else may be called meanwhile."""

    def __init__(
        self, state: WorkflowState, writer: Writer, around: Surroundings, token: str
    ) -> None:
        self.state = state
        self._writer, self._around, self._token = writer, around, token
        self._inbox: list[_Happening] = []
        self._wake = asyncio.Event()
        self._handles: dict[str, Handle] = {}
        self._refs: dict[str, Any] = {}
        self._memory: dict[str, StoredValue] = {}  # values of tasks with checkpoint=False
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
        patience = COMMIT_PATIENCE_SECONDS if patiently else 0.0
        workflow_id = self.state.workflow_id
        await write(self._around, self._writer, records, workflow_id=workflow_id, patience=patience)
        for record in records:
            self.state.apply(record)
        self._around.committed(self.state, records)

    def started(self, task_id: str, attempt: int, token: str, place: Any = None) -> None:
        """A worker says that an attempt is running, and in which process."""
        if self._is_under_way(task_id, attempt, token):
            self.state.under_way[task_id].place = place
            fact = Fact(Kind.STARTED, task_id, attempt)
            self._put(
                lambda: [fact] if task_id in self._handles else [],  # else its outcome came first
                is_alone=False,
            )

    def heard(
        self, task_id: str, attempt: int, token: str, details: Any, *, is_over: bool = False
    ) -> None:
        """A body gives a sign of life, or says that it has stopped and its process may be ended."""
        if not self._is_under_way(task_id, attempt, token):
            return  # of an attempt that is gone
        under_way = self.state.under_way[task_id]
        under_way.heard_at = self._around.clock.now()
        under_way.heartbeat = details
        if is_over:
            under_way.is_over = True
            self._wake.set()

    def skip_grace(self) -> None:
        """Whatever is asked to stop, now or later, is not given any time for it."""
        self.state.no_grace = True
        self._wake.set()

    def request_cancel(self) -> None:
        """Cancel the workflow: a recorded fact, not only a signal."""
        self._put(lambda: [] if self.state.cancel_requested else [Fact(Kind.CANCEL_REQUESTED)])

    def request_suspend(self) -> None:
        """Stop the workflow so that it can be resumed: a recorded fact, not only a signal."""
        self._put(lambda: [] if self.state.suspend_requested else [Fact(Kind.SUSPEND_REQUESTED)])

    def admit(self, fact: Fact) -> None:
        """A pending workflow may run now."""
        self._put(lambda: [fact])

    def let_go(self) -> None:
        """Another engine owns the root: stop what runs and write nothing more."""

        def fenced() -> list[Fact]:
            raise FencedError("Another engine owns the root now.")

        self._put(fenced)

    def live_ref(self, task: TaskState) -> Any:
        """A reference to the value of ``task`` in Ray's object store, if it is there."""
        return self._refs.get(self._source(task))

    def stored(self, task: TaskState) -> StoredValue | None:
        """Where the value of ``task`` is stored, checkpointed or only in memory."""
        return task.value or self._memory.get(self._source(task))

    def _is_under_way(self, task_id: str, attempt: int, token: str) -> bool:
        return token == self._token and self.state.in_flight.get(task_id) == attempt

    def _source(self, task: TaskState) -> str:
        """The task that really made the value: the end of a chain of continuations."""
        while (
            task.continued_to is not None
            and self.state.tasks[task.continued_to].status is TaskStatus.SUCCESSFUL
        ):
            task = self.state.tasks[task.continued_to]
        return task.task_id

    def _put(self, facts: Callable[[], list[Fact]], *, is_alone: bool = True) -> None:
        self._inbox.append(_Happening(facts, is_alone))
        self._wake.set()

    async def _happened(self, wake_at: float | None) -> list[Fact]:
        """Wait until something has happened; the facts of all that has."""
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
            facts += happening.facts()
            if facts and happening.is_alone:
                break
        if happenings:
            self._inbox = [*happenings, *self._inbox]
            self._wake.set()
        return facts

    def _execute(self) -> tuple[Finish | None, float | None]:
        finish, times = None, []
        commands = plan(self.state, self._around.clock.now(), window=self._around.window())
        for command in commands:
            match command:
                case StartTask(task_id, attempt):
                    self._start(task_id, attempt)
                case StopTask():
                    times.append(self._stop(command))
                case TimeOut():
                    self._put(lambda: [] if self.state.timed_out else [Fact(Kind.TIMED_OUT)])
                case WakeAt(time):
                    times.append(time)
                case Finish():
                    finish = command
        return finish, min(times, default=None)

    def _start(self, task_id: str, attempt: int) -> None:
        task = self.state.tasks[task_id]
        self.state.dispatch(task_id, attempt)
        inputs = [self.state.tasks[u] for u in task.upstream]
        refs = [(i, ref) for i, t in enumerate(inputs) if (ref := self.live_ref(t)) is not None]
        call = TaskCall(
            self._around.storage,
            self.state.workflow_id,
            task_id,
            attempt,
            task.function,
            task.args,
            tuple(self.stored(t) for t in inputs),
            bool(task.options["catch_exceptions"]),
            task.options["checkpoint"] is not False,
            self._token,
            task.options.get("judge"),
            heartbeat=task.heartbeat,
            heartbeat_timeout=task.options.get("heartbeat_timeout"),
            is_timed=task.options.get("timeout") is not None,
            listener=self._around.listener,
            old_names=bool(self.state.accepted.get("old_names")),
        )
        try:
            options = environment.around(self.state.runtime_env, task.options["ray"])
            handle = self._around.submitter.submit(call, options, refs)
        except (ValueError, TypeError) as error:
            described = {
                "type": type(error).__name__,
                "traceback": None,
                "message": f"Ray refused the options of the task: {error}",
            }
            outcome = Outcome("error", error=described, retryable=False)
            self._put(lambda: self._settle(task_id, attempt, outcome, None))
            return
        self._handles[task_id] = handle
        self._spawn(self._watch(task_id, attempt, handle))

    def _stop(self, command: StopTask) -> float:
        """Carry out a step of stopping; returns when to look again at the latest."""
        task_id, now = command.task_id, self._around.clock.now()
        attempt = self.state.under_way[task_id]
        attempt.apply(command.means, command.expired, now)
        handle = self._handles.get(task_id)  # Ray may have refused it, which is on its way here
        if command.means != "signal" and handle is not None:
            self._around.submitter.stop(handle, force=command.means == "force")
        elif command.means == "signal" and attempt.place is not None:
            self._spawn(self._around.submitter.destroy(attempt.place))
        return now

    async def _watch(self, task_id: str, attempt: int, handle: Handle) -> None:
        outcome = await self._around.submitter.outcome(handle)
        under_way = self.state.under_way.get(task_id)
        if outcome.has_died and under_way is not None and under_way.place is not None:
            await self._around.submitter.destroy(under_way.place)
        self._put(
            lambda: self._settle(task_id, attempt, outcome, handle),
            is_alone=outcome.kind != "value",
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        watcher = asyncio.ensure_future(work)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    def _settle(
        self, task_id: str, attempt: int, outcome: Outcome, handle: Handle | None
    ) -> list[Fact]:
        """The facts that an outcome leads to, now that its turn has come."""
        if self.state.in_flight.get(task_id) != attempt:
            return []  # of an attempt that is over: it came once more, and another may be under way
        self._handles.pop(task_id, None)
        now = self._around.clock.now()
        outcome = ended(self.state, task_id, outcome, now)
        facts = facts_of(self.state, task_id, attempt, outcome, now)
        if not facts:
            self.state.settle(task_id)
            return []
        if outcome.kind == "value" and outcome.value is not None:
            if handle is not None and outcome.value.data is None:
                self._refs[task_id] = handle.value
            if not outcome.checkpoint:
                self._memory[task_id] = outcome.value
        self._release_inputs(self.state.tasks[task_id])
        return facts

    def _release_inputs(self, task: TaskState) -> None:
        """Let go of live values that no other consumer waits for: they are in the storage."""
        for upstream_id in task.upstream:
            upstream = self.state.tasks[upstream_id]
            if upstream.unread <= 1 and upstream_id != self.state.root and not upstream.volatile:
                self._refs.pop(self._source(upstream), None)

    def _status(self, finish: Finish) -> Fact:
        successful = finish.status is WorkflowStatus.SUCCESSFUL
        output = self.state.tasks[self._source(self.state.output)] if successful else None
        return Fact(
            Kind.STATUS,
            data={
                "status": str(finish.status),
                "reason": finish.reason,
                "error": finish.error,
                "output": output.preview if output else None,
            },
        )

    def _abandon(self) -> None:
        """Nothing may run on when the loop has ended, whatever ended it."""
        for watcher in self._watchers:
            watcher.cancel()
        for handle in self._handles.values():
            self._around.submitter.stop(handle, force=True)
