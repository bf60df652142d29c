"""A clock and a submitter for running workflows in one process: quick, and the same for the same seed.

They stand at two of the seams of :class:`rayflow.runtime.executor.WorkflowRunner`; everything between
them and the store is the real engine. Ray is neither started nor needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

from rayflow.core.graph import Graph, Item, Node, StoredValue, TaskOptions
from rayflow.core.outcomes import Outcome, succeeded
from rayflow.core.records import Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.errors import FencedError, StorageError
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Opened, status_fact
from rayflow.runtime.submitter import Handle
from rayflow.runtime.surroundings import Surroundings, Writer
from rayflow.runtime.worker import TaskCall
from rayflow.storage.index import IndexEntry
from rayflow.storage.relays import Relay
from rayflow.storage.store import Store
from rayflow.storage.values import decode, encode
from rayflow.testing.memory_store import MemoryStore

START = 1_700_000_000.0
TICKS = 20_000
SOON = 10  # turns of the event loop; attempts that are under way take fewer


class NeverEndsError(AssertionError):
    """A workflow neither ended nor did anything any more."""


class FakeClock:
    """Time that passes when somebody sleeps, and by a millisecond whenever somebody looks."""

    def __init__(self, now: float = START) -> None:
        self._now = now

    def now(self) -> float:
        """Unix time in seconds."""
        self._now += 0.001
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self._now += seconds
        await asyncio.sleep(0)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Let the time pass unless something happens soon."""
        for _ in range(SOON):
            if event.is_set():
                return
            await asyncio.sleep(0)
        self._now += seconds


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a body sees: the call, its arguments, and the values of its upstream tasks."""

    call: TaskCall
    arguments: Any
    inputs: tuple[Any, ...]


Body = Callable[[Attempt], Any]
"""The code of a task: returns a value or a :class:`Graph` (a continuation), or raises."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Returned by a body that never ends by itself, after a last sign of life if it gives ``heartbeat``.

    ``heeds``: whether it ends when it is asked to; if not, it must be killed.
    """

    heeds: bool = True
    heartbeat: Any = None


@dataclass(frozen=True, slots=True)
class InPlace:
    """Returned by a body that has run steps in place: their graphs, and the value of the last one."""

    graphs: tuple[Graph, ...]
    value: Any


class Observer(Protocol):
    """Who is told what attempts are doing: the runner."""

    def started(self, task_id: str, attempt: int, token: str) -> None: ...

    def heard(self, task_id: str, attempt: int, token: str, details: Any) -> None: ...


def stored(value: Any) -> StoredValue:
    """``value`` as a worker stores it inline. It must be small."""
    return encode(value).store(MemoryStore(), lambda: "too large for a simulation")


def unstored(value: StoredValue) -> Any:
    """The inverse of :func:`stored`."""
    assert value.data is not None, "the value is not inline"
    return decode(value.format, value.data, persistent_load=lambda pid: unstored(pid[1]))


def node(function: str, *upstream: int, arguments: Any = None, **options: Any) -> Node:
    """A node of a graph that calls the body ``function``; ``options`` as in :class:`TaskOptions`.

    Here a ``judge`` is the names of the exceptions that are worth another attempt.
    """
    return Node(function, function, stored(arguments), upstream, TaskOptions(**options))


def mapped(
    function: str, items: Sequence[Any], of: str, limit: int | None = None, **options: Any
) -> list[Node]:
    """A node for each of ``items``, which the task ``of`` has mapped."""
    together = stored(list(items))
    return [
        Node(function, function, together, (), TaskOptions(**options), item=Item(of, at, limit))
        for at in range(len(items))
    ]


@dataclass(slots=True)
class _Running:
    """An attempt, or the storing of the value that it has left in its ``cell``."""

    call: TaskCall
    ticks: int
    cell: list[StoredValue]
    refs: dict[int, list[StoredValue]] = field(default_factory=dict)
    storing: Outcome | None = None
    is_stopped: bool = False
    is_killed: bool = False
    before: _Running | None = None
    relay: Relay | None = None
    is_followed: bool = False
    passed: StoredValue | None = None
    is_over: bool = False


class FakeSubmitter:
    """Runs attempts in this process, each after a random number of turns of the event loop.

    Args:
        bodies: the code of tasks by the ``function`` of their nodes.
        seed: decides about everything that is random.
        loses: the probability that an attempt dies, before or after its body has run, and that a
            value is lost which lives in memory alone.
        longest: how many turns of the event loop an attempt takes at most.
        relays: where workers make values durable, if attempts may follow others.

    Attributes:
        executed: the calls whose bodies have run, in order.
        killed: the calls whose processes had to be ended, in order.
        observer: is told of the starts and heartbeats of tasks that have a limit.
        relayed: what workers have relied on: task, attempt and value.
        problems: what no submitter can repair, such as an input that is neither stored nor live.
    """

    least = 1

    def __init__(
        self,
        bodies: Mapping[str, Body],
        *,
        seed: int = 0,
        loses: float = 0.0,
        longest: int = 6,
        relays: Store | None = None,
    ) -> None:
        self.relayed: list[tuple[str, int, bytes | None]] = []
        self._relays = relays
        self.executed: list[TaskCall] = []
        self.killed: list[TaskCall] = []
        self.observer: Observer | None = None
        self.problems: list[str] = []
        self._bodies, self._random = bodies, Random(seed)
        self._loses, self._longest = loses, longest
        self._act_after = -1
        self._act: Callable[[], None] = lambda: None

    def after(self, count: int, act: Callable[[], None]) -> None:
        """Call ``act`` when ``count`` bodies have run."""
        self._act_after, self._act = count, act

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        """Start an attempt."""
        return self._begin(call, refs)

    def _begin(self, call: TaskCall, refs: list[tuple[int, Any]]) -> Handle:
        cell: list[StoredValue] = []  # stands for a place in Ray's object store
        ticks = self._random.randint(1, self._longest)
        return Handle(_Running(call, ticks, cell, dict(refs)), cell)

    def is_short(self, code: str) -> bool:
        """Whether attempts may follow others: here all of them, if there is a place for relays."""
        return self._relays is not None

    def follow(self, before: Handle, call: TaskCall) -> Handle:
        """Start an attempt behind another one."""
        handle, running = self._begin(call, []), before.outcome
        if running.relay is None:
            assert self._relays is not None
            number = self._random.randrange(2**40)
            running.relay = Relay(self._relays, call.workflow_id, call.epoch, number)
        running.is_followed = True
        handle.outcome.before, handle.outcome.relay = running, running.relay
        return handle

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        """Start storing the value that an attempt has left in memory."""
        ticks = self._random.randint(1, 3 * self._longest)
        return Handle(_Running(call, ticks, handle.value, storing=outcome), None)

    async def outcome(self, handle: Handle) -> Outcome:
        """What became of it. Never raises."""
        running: _Running = handle.outcome
        try:
            if running.before is not None and (left := await self._turn(running, running.before)):
                return left
            return await self._outcome(running)
        finally:
            running.is_over = True

    async def _turn(self, running: _Running, before: _Running) -> Outcome | None:
        """Wait for the value of the attempt before; what becomes of this one if there is none."""
        while not (before.is_over or before.passed or running.is_stopped):
            await asyncio.sleep(0)
        if running.is_stopped or before.passed is None:
            return Outcome("stopped" if running.is_stopped else "returned")
        call = running.call
        assert call.follows is not None
        inputs = list(call.inputs)
        inputs[call.follows[1]] = before.passed
        running.call = replace(call, inputs=tuple(inputs))
        return None

    def _pass_on(self, running: _Running, outcome: Outcome) -> None:
        """Have a value durable, for the attempt that follows."""
        call, value = running.call, outcome.value
        if (
            not running.is_followed
            or running.relay is None
            or outcome.kind != "value"
            or outcome.hops
            or value is None
        ):
            return
        if value.data is None or self._random.random() < self._loses:
            return
        with suppress(FencedError, StorageError, FileExistsError):
            running.relay.put([succeeded(call.task_id, call.attempt, outcome).at(1, START)])
            running.passed = value
            self.relayed.append((call.task_id, call.attempt, value.data))

    async def _outcome(self, running: _Running) -> Outcome:
        if self.observer is not None and running.call.is_watched:
            call = running.call
            self.observer.started(call.task_id, call.attempt, call.token)
        for _ in range(running.ticks):
            if running.is_stopped:
                break
            await asyncio.sleep(0)
        # One that is stopped may still be quicker than its stopping.
        if running.is_stopped and self._random.random() < 0.7:
            return Outcome(self._random.choice(("stopped", "lost")), error=_DIED)
        if running.call.inputs and self._random.random() < self._loses / 4:
            lost = self._random.randrange(len(running.call.inputs))
            return Outcome("lost", error=_DIED, lost_inputs=(lost,))
        if self._random.random() < self._loses:
            if self._random.random() < 0.5 and running.storing is None:
                self._run(running)
            return Outcome("lost", error=_DIED)
        if running.storing is not None:
            return replace(running.storing, value=running.cell[0])
        made = self._run(running)
        if isinstance(made, Hang):
            return await self._hang(running, made)
        self._pass_on(running, made)
        return made

    def stop(self, handle: Handle, *, force: bool) -> None:
        """Ask it to stop, or kill it; its outcome says when it is gone."""
        running: _Running = handle.outcome
        running.is_stopped = True
        if force and not running.is_killed:
            running.is_killed = True
            self.killed.append(running.call)

    async def destroy(self, place: Any) -> None:
        """Nothing here has a process."""

    async def _hang(self, running: _Running, how: Hang) -> Outcome:
        call = running.call
        if self.observer is not None and how.heartbeat is not None:
            self.observer.heard(call.task_id, call.attempt, call.token, how.heartbeat)
        while not (running.is_killed or (how.heeds and running.is_stopped)):
            await asyncio.sleep(0)
        return Outcome("stopped" if how.heeds else "lost", error=_DIED)

    def _run(self, running: _Running) -> Outcome | Hang:
        call = running.call
        found = [self._input(running, position) for position in range(len(call.inputs))]
        missing = [position for position, value in enumerate(found) if value is None]
        if missing:
            self.problems.append(f"{call.task_id} was started without its inputs {missing}")
            return Outcome("lost", error=_DIED)
        inputs = tuple(unstored(value) for value in found if value is not None)
        self.executed.append(call)
        if len(self.executed) == self._act_after:
            self._act()
        try:
            arguments = unstored(call.args)
            if call.item is not None:
                arguments = arguments[call.item]
            value = self._bodies[call.function](Attempt(call, arguments, inputs))
        except Exception as error:  # noqa: BLE001 - what a body raises is its outcome
            described = {"type": type(error).__name__, "message": str(error), "traceback": None}
            retryable = call.judge is None or type(error).__name__ in call.judge.split()
            value = stored((None, error))
            return Outcome("error", value=value, error=described, retryable=retryable)
        if isinstance(value, Hang):
            return value
        if isinstance(value, Graph):
            return Outcome("graph", graph=value)
        hops: tuple[Graph, ...] = ()
        if isinstance(value, InPlace):
            hops, value = value.graphs, value.value
        result = stored((value, None) if call.catches else value)
        if call.checkpoint == "async" and self._random.random() < 0.5:  # as if it were large
            running.cell.append(result)
            result = replace(result, data=None)
        return Outcome("value", value=result, checkpoint=bool(call.checkpoint), hops=hops)

    def _input(self, running: _Running, position: int) -> StoredValue | None:
        stored = running.call.inputs[position]
        if stored is not None and stored.data is not None:
            return stored
        return next(iter(running.refs.get(position, ())), None)


_DIED = {"type": "WorkerCrashedError", "message": "the process died", "traceback": None}


async def quick_io(function: Callable[[], None]) -> None:
    """Storage I/O that takes a turn of the event loop."""
    await asyncio.sleep(0)
    function()


def surroundings(
    submitter: FakeSubmitter,
    clock: FakeClock,
    *,
    window: int = 8,
    io: Callable[[Callable[[], None]], Awaitable[None]] = quick_io,
) -> Surroundings:
    """What a runner needs: ``io`` does what touches the storage."""

    async def commit(
        writer: Writer, records: Sequence[Record], entry: IndexEntry | None = None
    ) -> None:
        await io(lambda: writer.commit(records))

    return Surroundings(
        "memory",
        submitter,
        submitter,
        clock,
        commit,
        lambda: window,
        lambda state, records: None,
        chains=submitter,
    )


async def finish(work: Coroutine[Any, Any, None], ticks: int = TICKS) -> None:
    """Await ``work`` for at most ``ticks`` turns of the event loop.

    Raises:
        NeverEndsError: it is not done by then.
    """
    task = asyncio.ensure_future(work)
    for _ in range(ticks):
        if task.done():
            return task.result()
        await asyncio.sleep(0)
    task.cancel()
    raise NeverEndsError(f"not done after {ticks} turns of the event loop")


async def run_workflow(
    opened: Opened,
    submitter: FakeSubmitter,
    clock: FakeClock,
    *,
    window: int = 8,
    suspend_after: int | None = None,
    cancel_after: int | None = None,
    ticks: int = TICKS,
) -> WorkflowState:
    """Drive a workflow from :mod:`rayflow.runtime.intake` to its end, as the engine does.

    ``suspend_after``, ``cancel_after``: somebody suspends or cancels it after so many of its tasks'
    bodies have run. ``ticks``: turns of the event loop that it may take.

    Raises:
        NeverEndsError: it does not end.
    """
    if opened.writer is None:
        return opened.state
    around = surroundings(submitter, clock, window=window)
    runner = WorkflowRunner(opened.state, opened.writer, around, "simulated")
    submitter.observer = runner
    await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
    if suspend_after is not None:
        submitter.after(suspend_after, runner.request_suspend)
    if cancel_after is not None:
        submitter.after(cancel_after, runner.request_cancel)
    await finish(runner.run(), ticks)
    return runner.state
