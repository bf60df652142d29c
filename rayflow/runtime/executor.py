"""Drives one workflow: commit what happened, plan, do what is planned, wait.

Everything that happens to a workflow goes through one inbox and one loop, so the journal and the state
have one order. What arrives while a commit is under way goes into the next one (group commit). No
command is carried out before the records it rests on are durable, with one exception: consumers of a
task with ``checkpoint="async"`` start as soon as its value is there. What becomes of them is held back
until everything it rests on is recorded, so records come in the order of the graph.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from rayflow.core import provisional
from rayflow.core.deadlines import StopTask, WakeAt
from rayflow.core.fusion import followers
from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import Finish, StartTask, TimeOut, foreseen_end, plan
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskState
from rayflow.core.waits import BeginWait, EndWait, is_hosted
from rayflow.errors import FencedError, StaleAttemptError
from rayflow.runtime import environment, waiting
from rayflow.runtime.inbox import Inbox
from rayflow.runtime.live_values import LiveValues
from rayflow.runtime.requests import Requests
from rayflow.runtime.stopping import ended
from rayflow.runtime.submitter import Handle, Submitter, refused
from rayflow.runtime.surroundings import Surroundings, Writer, write
from rayflow.runtime.task_calls import call_of, may_follow
from rayflow.runtime.worker import TaskCall
from rayflow.storage.index import IndexEntry

COMMIT_PATIENCE_SECONDS = 60.0
REST_SECONDS = 60.0


class WorkflowRunner:
    """One live workflow. Make it, then await :meth:`run`; everything else may be called meanwhile."""

    def __init__(
        self, state: WorkflowState, writer: Writer, around: Surroundings, token: str
    ) -> None:
        self.state = state
        self._writer, self._around, self.token = writer, around, token
        self.values = LiveValues(state)
        self.has_relays = (
            state.last_seq > 0 and state.calls is None
        )  # an earlier owner may have left some
        self._inbox = Inbox(state, around.clock)
        self._requests = Requests()
        self._handles: dict[str, Handle] = {}
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
                elif not self.is_at_rest and not self.state.is_finished:
                    facts = await self._inbox.facts(wake_at)
                    end = foreseen_end(self.state, facts)
                    facts = facts if end is None else [*facts, end]
                    continue
                facts = await self._called_again() if self.is_at_rest else []
                if not facts:
                    return
        finally:
            self._abandon()

    @property
    def is_at_rest(self) -> bool:
        """Whether this is an actor that has nothing to do, and is kept at hand for a while."""
        return self.state.calls is not None and self.state.status is WorkflowStatus.SUCCESSFUL

    def leave(self) -> None:
        """An actor that has nothing to do is not to be kept at hand any longer."""
        if self.state.calls is not None:
            self.state.calls.leaves = True
            self._inbox.wake()

    async def _called_again(self) -> list[Fact]:
        """Wait for the next call of an actor at rest; nothing if there is none for a while."""
        calls, end = self.state.calls, self._around.clock.now() + REST_SECONDS
        while calls is not None and not calls.leaves and self._around.clock.now() < end:
            facts = await self._inbox.facts(end)
            if facts:
                return facts
            await self.commit([])
        return []

    async def commit(
        self, facts: Sequence[Fact], *, patiently: bool = True, entry: IndexEntry | None = None
    ) -> None:
        """Make facts durable, and an ``entry`` of the index with them; then take them into account.

        Raises:
            FencedError: another engine owns the workflow now.
            DataSaveError: the storage refused, at once or (``patiently``) for too long.
        """
        if not facts:
            self._requests.committed()  # of which nothing had to be recorded
            return
        now, seq = self._around.clock.now(), self.state.last_seq
        records = [fact.at(seq + n, now) for n, fact in enumerate(facts, start=1)]
        patience = COMMIT_PATIENCE_SECONDS if patiently else 0.0
        await write(
            self._around,
            self._writer,
            records,
            workflow_id=self.state.workflow_id,
            patience=patience,
            entry=entry,
        )
        for record in records:
            self.state.apply(record)
            self.values.recorded(record)
        if self.state.calls is not None:
            for task_id in self.state.calls.take_dropped():
                self.values.drop(task_id)
        self._requests.committed()
        self._around.committed(self.state, records)

    def started(self, task_id: str, attempt: int, token: str, place: Any = None) -> None:
        """A worker says that an attempt is running, and in which process."""
        if self._is_under_way(task_id, attempt, token):
            under_way = self.state.under_way[task_id]
            under_way.place = None if under_way.is_over else place
            under_way.started_at = self._around.clock.now()
            fact = Fact(Kind.STARTED, task_id, attempt)
            self._inbox.put(
                lambda: [fact] if self._is_running(task_id, attempt) else [],
                is_alone=False,
                about=task_id,
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
            self._inbox.wake()

    async def progress(self, task_id: str, attempt: int, token: str, stored: StoredValue) -> None:
        """Record what a body has saved of its work; durable when this returns.

        Raises:
            StaleAttemptError: the attempt is over.
        """
        fact = Fact(Kind.PROGRESS, task_id, attempt, {"value": stored.describe()}, stored.data)

        def facts() -> list[Fact]:
            if not self._is_under_way(task_id, attempt, token) or task_id in self.state.outdated:
                raise StaleAttemptError(self.state.workflow_id, task_id, attempt)
            return [fact]

        await self.record(facts)

    async def child(self, task_id: str, attempt: int, token: str, link: dict[str, Any]) -> None:
        """Record that a body is about to start a child workflow; durable when this returns.

        Raises:
            StaleAttemptError: the attempt is over.
        """

        def facts() -> list[Fact]:
            if not self._is_under_way(task_id, attempt, token):
                raise StaleAttemptError(self.state.workflow_id, task_id, attempt)
            known = link["child"] in self.state.children
            return [] if known else [Fact(Kind.CHILD, task_id, attempt, link)]

        await self.record(facts)

    def skip_grace(self) -> None:
        """Whatever is asked to stop, now or later, is not given any time for it."""
        self.state.no_grace = True
        self._inbox.wake()

    def request_cancel(self) -> None:
        """Cancel the workflow: a recorded fact, not only a signal."""
        self._inbox.put(
            lambda: [] if self.state.cancel_requested else [Fact(Kind.CANCEL_REQUESTED)]
        )

    def request_suspend(self) -> None:
        """Stop the workflow so that it can be resumed: a recorded fact, not only a signal."""
        self._inbox.put(
            lambda: [] if self.state.suspend_requested else [Fact(Kind.SUSPEND_REQUESTED)]
        )

    async def record(self, facts: Callable[[], list[Fact]], *, is_alone: bool = True) -> None:
        """Have something recorded; durable when this returns.

        ``facts`` is called when its turn has come, and may refuse with a :class:`WorkflowError`.

        Raises:
            WorkflowError: as ``facts`` does.
            WorkflowEndedError: nobody drives the workflow any more; ask anew.
        """
        asked = self._requests.ask()
        self._inbox.put(lambda: self._requests.take(asked, facts), is_alone=is_alone)
        await asked

    def admit(self, fact: Fact) -> None:
        """A pending workflow may run now."""
        self._inbox.put(lambda: [fact])

    def let_go(self) -> None:
        """Another engine owns the root: stop what runs and write nothing more."""

        def fenced() -> list[Fact]:
            raise FencedError("Another engine owns the root now.")

        self._inbox.put(fenced)

    def _is_running(self, task_id: str, attempt: int) -> bool:
        """Whether an attempt is under way, its outcome has not come, and something may come of it."""
        is_this = self.state.in_flight.get(task_id) == attempt and task_id in self._handles
        return is_this and task_id not in self.state.outdated

    def _is_under_way(self, task_id: str, attempt: int, token: str) -> bool:
        return token == self.token and self.state.in_flight.get(task_id) == attempt

    def _execute(self) -> tuple[Finish | None, float | None]:
        finish, times = None, []
        commands = plan(self.state, self._around.clock.now(), window=self._around.window())
        for command in commands:
            match command:
                case StartTask(task_id, attempt):
                    self._start(task_id, attempt)
                case StopTask():
                    times.append(self._stop(command))
                case BeginWait(task_id):
                    self._begin_wait(task_id)
                case EndWait():
                    self._end_wait(command)
                case TimeOut():
                    self._inbox.put(lambda: [] if self.state.timed_out else [Fact(Kind.TIMED_OUT)])
                case WakeAt(time):
                    times.append(time)
                case Finish():
                    finish = command
        return finish, min(times, default=None)

    def _start(self, task_id: str, attempt: int) -> None:
        task = self.state.tasks[task_id]
        self.state.dispatch(task_id, attempt)
        inputs = [self.state.tasks[u] for u in task.upstream]
        refs = [(i, ref) for i, t in enumerate(inputs) if (ref := self.values.ref(t)) is not None]
        call = self._call(task, attempt)
        try:
            options = environment.around(self.state.runtime_env, task.options["ray"])
            handle = self._place(task_id).submit(call, options, refs)
        except (ValueError, TypeError) as error:
            outcome = refused(error)
            self._inbox.put(lambda: self._settle(task_id, attempt, outcome, None), about=task_id)
            return
        self._handles[task_id] = handle
        if is_hosted(task):
            self.started(task_id, attempt, self.token)  # nothing else says so
        self._follow(call, handle)
        if call.may_share and task.dependents and not self.state.is_ending:
            self._start_chain(task, handle)

    def _call(self, task: TaskState, attempt: int) -> TaskCall:
        epoch = self._writer.epoch
        return call_of(self.state, self.values, self._around, task, attempt, self.token, epoch)

    def _start_chain(self, task: TaskState, handle: Handle) -> None:
        """Have the tasks that wait for ``task`` alone run behind it in its worker, one after the other."""
        chains = self._around.chains
        if chains is None or not chains.is_short(task.function):
            return
        before = task.task_id
        for following in followers(
            self.state, task, lambda t: may_follow(t, chains.is_short), chains.least
        ):
            if any(self.values.ref(self.state.tasks[u]) is not None for u in following.upstream):
                return
            call = self._call(following, following.attempt + 1)
            call.follows = before, following.upstream.index(before)
            behind = chains.follow(handle, call)
            if behind is None:
                return
            handle = behind
            before, self.has_relays = following.task_id, True
            self.state.dispatch(before, call.attempt)
            self._handles[before] = handle
            self._follow(call, handle)

    def _place(self, task_id: str) -> Submitter:
        """Where attempts of a task run."""
        hosted = is_hosted(self.state.tasks[task_id])
        return self._around.host if hosted else self._around.submitter

    def _begin_wait(self, task_id: str) -> None:
        state, clock = self.state, self._around.clock
        state.waits.ready.pop(task_id, None)
        state.delayed.pop(task_id, None)
        state.waits.beginning.add(task_id)
        self._inbox.put(
            lambda: waiting.begin_facts(state, task_id, clock.now()), is_alone=False, about=task_id
        )

    def _end_wait(self, over: EndWait) -> None:
        """Its value, or its error, is like that of an attempt that has just run.

        It needs its inputs no more, which may be lost by now and run again for somebody else.
        """
        outcome = waiting.outcome(self.state, over.task_id, over.how)
        self.state.dispatch(over.task_id, over.attempt)
        self._inbox.put(
            lambda: self._settle(over.task_id, over.attempt, outcome, None),
            is_alone=outcome.kind != "value",
        )

    def _stop(self, command: StopTask) -> float:
        """Carry out a step of stopping; returns when to look again at the latest."""
        task_id, now = command.task_id, self._around.clock.now()
        attempt = self.state.under_way[task_id]
        attempt.apply(command.means, command.expired, now)
        handle = self._handles.get(task_id)  # Ray may have refused it, which is on its way here
        if command.means != "signal" and handle is not None:
            self._place(task_id).stop(handle, force=command.means == "force")
        elif command.means == "signal" and attempt.place is not None:
            self._spawn(self._around.submitter.destroy(attempt.place))
        return now

    def _follow(self, call: TaskCall, handle: Handle) -> None:
        """Have what becomes of an attempt taken into account."""
        if not isinstance(handle.outcome, asyncio.Future):
            self._spawn(self._watch(call, handle))
            return

        def over(future: asyncio.Future[Outcome]) -> None:
            """No coroutine for this: short attempts end by the thousand each second."""
            if future.cancelled():
                return
            outcome = future.result()
            if outcome.has_died or call.checkpoint == "async":
                self._spawn(self._watch(call, handle))
            else:
                self._arrived(call, handle, outcome)

        handle.outcome.add_done_callback(over)

    async def _watch(self, call: TaskCall, handle: Handle) -> None:
        outcome = await self._place(call.task_id).outcome(handle)
        under_way = self.state.under_way.get(call.task_id)
        if outcome.has_died and under_way is not None and under_way.place is not None:
            await self._around.submitter.destroy(under_way.place)
        if outcome.kind == "value" and call.checkpoint == "async":
            self._end_body(call.task_id)
            outcome = await self._lent(call, handle, outcome)
        self._arrived(call, handle, outcome)

    def _end_body(self, task_id: str) -> None:
        """Its outcome may have to wait for its turn."""
        under_way = self.state.under_way.get(task_id)
        if under_way is not None:
            under_way.end_body()

    def _arrived(self, call: TaskCall, handle: Handle, outcome: Outcome) -> None:
        if not outcome.has_died and outcome.kind != "stopped":
            self._end_body(call.task_id)
        self._inbox.put(
            lambda: self._settle(call.task_id, call.attempt, outcome, handle),
            is_alone=outcome.kind != "value" or bool(outcome.hops or outcome.laters),  # new names
            about=None
            if call.follows and outcome.kind in ("returned", "stopped")
            else call.task_id,
        )

    async def _lent(self, call: TaskCall, handle: Handle, outcome: Outcome) -> Outcome:
        """Let consumers start from a value, and have it stored meanwhile if its worker did not."""
        task_id, value = call.task_id, outcome.value
        assert value is not None
        is_stored = value.data is not None or value.key is not None
        if self.state.under_way[task_id].means is not None or task_id in self.state.outdated:
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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        watcher = asyncio.ensure_future(work)
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watched)

    def _watched(self, watcher: asyncio.Task[None]) -> None:
        """An error in a watcher is one of the whole workflow: nobody would hear of the attempt else."""
        self._watchers.discard(watcher)
        error = None if watcher.cancelled() else watcher.exception()
        if error is not None:

            def fail() -> list[Fact]:
                raise error

            self._inbox.put(fail)

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
        if outcome.kind != "value" or not facts:
            provisional.withdraw(self.state, task_id)  # now: others may start during the commit
            self.values.drop(task_id)
        elif handle is not None and outcome.value is not None:
            made_by = facts[-1].task_id or task_id  # a step that ran in place within it, perhaps
            in_memory = not outcome.checkpoint
            self.values.keep(made_by, outcome.value, handle.value, in_memory=in_memory)
        if outcome.lost_inputs and facts:  # else nothing makes them again; the next attempt says so
            self.values.lost(self.state.tasks[task_id], outcome.lost_inputs)
        if not facts:
            self.state.settle(task_id)
            return []
        self.values.release_inputs(self.state.tasks[task_id])
        if self.state.calls is not None:
            self.state.calls.turns.end(task_id)
        return facts

    def _status(self, finish: Finish) -> Fact:
        successful = finish.status is WorkflowStatus.SUCCESSFUL
        has_output = successful and self.state.has_output
        output = self.state.tasks[self.values.source(self.state.output)] if has_output else None
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
        for task_id, handle in self._handles.items():
            self._place(task_id).stop(handle, force=True)
        self._requests.abandon(self.state.workflow_id)
