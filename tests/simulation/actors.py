"""One virtual actor, several callers, and bad luck: engines live and die until all calls have ended.

The callers behave as programs do: they repeat a call with its id when the engine has died before it
answered, and make their next call when the one before is durable, or has ended.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from rayflow.core.actors import CONSTRUCTOR, CallEnd
from rayflow.core.graph import Graph, Node, StoredValue
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.errors import JournalCorruptError, StorageError, WorkflowEndedError
from rayflow.runtime import intake
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Opened, Submission, status_fact
from rayflow.runtime.lanes import Lane
from rayflow.storage.journal import Journal
from rayflow.testing.actors import FakeActorSubmitter, Left, MethodCall
from rayflow.testing.crash_store import StoreStopped
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    Attempt,
    FakeClock,
    finish,
    node,
    surroundings,
    unstored,
)
from tests.simulation.weather import Weather
from tests.simulation.witness import Witness, require

CALM_AFTER = 5
ID = "simulated/actor"
TIMER = {"kind": "timer", "seconds": 5.0}


def method(name: str, arguments: Any = None, *upstream: int, **options: Any) -> Node:
    """A node that calls a method."""
    return replace(
        node("class", *upstream, arguments=arguments, effect=True, **options),
        method=name,
        name=name,
    )


def construct(call: MethodCall) -> Left:
    return Left(None, 0)


def add(call: MethodCall) -> Left:
    total = call.state + call.arguments + sum(v or 0 for v in call.inputs)
    return Left(total, total)


def flaky(call: MethodCall) -> Left:
    if call.call.attempt <= call.arguments % 3:
        raise ValueError("not yet")
    return add(call)


def fail(call: MethodCall) -> Left:
    raise ValueError("always")


def spread(call: MethodCall) -> Left:
    """Continues as steps, whose value is that of the call."""
    graph = Graph((node("plus", arguments=1), node("plus", 0, arguments=call.arguments)))
    return Left(graph, call.state + 1)


def spread_and_fail(call: MethodCall) -> Left:
    graph = Graph((node("plus", arguments=1), node("refuse"), node("plus", 0, 1, arguments=1)))
    return Left(graph, call.state + 1)


def countdown(call: MethodCall) -> Left:
    """Calls itself, and other methods, within one call."""
    left = call.arguments
    if not left:
        return Left(call.state + 1, call.state + 1)
    return Left(Graph((method("countdown", left - 1),)), call.state + 1)


def remind(call: MethodCall) -> Left:
    """Is called again later, by a timer."""
    later = Graph((node("wait", wait=TIMER, effect=True), method("add", 100, 0)))
    return Left(call.state, call.state, (later,))


METHODS = {
    CONSTRUCTOR: construct,
    **{m.__name__: m for m in (add, flaky, fail, spread, spread_and_fail, countdown, remind)},
}


def plus(attempt: Attempt) -> int:
    return int(attempt.arguments) + sum(attempt.inputs)


def refuse(attempt: Attempt) -> int:
    raise ValueError("refused")


BODIES = {"plus": plus, "refuse": refuse}


@dataclass(slots=True)
class Caller:
    """Somebody who makes ``calls`` one after the other: (id, method, argument, waits)."""

    calls: list[tuple[str, str, int, bool]]
    made: list[str] = field(default_factory=list)  # the tasks of its calls, in order
    seen: dict[str, Any] = field(default_factory=dict)  # their values, where it has waited


class ActorWorld:
    """One seed's worth of actor, callers, storage and bad luck."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.store = MemoryStore(appends=self.random.random() < 0.7)
        self.acknowledged: list[Record] = []
        self.executed: list[Any] = []
        self.replays = self.random.random() < 0.2
        self.callers = [self._caller(name) for name in "abc"[: self.random.randint(1, 3)]]
        self._runner: WorkflowRunner | None = None
        self._opening = asyncio.Event()
        self._claimed: list[Opened] = []

    async def live(self) -> None:
        """Lives of engines until all callers are done and the actor is at rest."""
        calling = asyncio.gather(*(self._call(caller) for caller in self.callers))
        for life in itertools.count():
            require(life < 8 * CALM_AFTER, "it does not end")
            calm = life >= CALM_AFTER
            has_ended = await self._one_life(calm)
            if calling.done() and has_ended and calm and not self._is_open():
                break
        await calling
        self._check()

    def _is_open(self) -> bool:
        state = fold(Journal(self.store, ID).load())
        return bool(state.calls is None or state.calls.open)

    def _caller(self, name: str) -> Caller:
        hopeless = (CONSTRUCTOR, *(("fail", "spread_and_fail") if self.replays else ()))
        names = [m for m in METHODS if m not in hopeless]
        calls = [
            (
                f"{name}{n}",
                self.random.choice(names),
                self.random.randint(0, 4),
                self.random.random() < 0.6,
            )
            for n in range(self.random.randint(1, 6))
        ]
        return Caller(calls)

    async def _one_life(self, calm: bool) -> bool:
        """Whether the actor came to rest; False if the engine died or was overtaken."""
        weather = Weather(self.random, calm, self._usurp)
        try:
            opened = self._claimed.pop() if self._claimed else self._open(weather)
            if opened.writer is None:
                return True
            await self._drive(opened, weather, calm)
        except JournalCorruptError:
            raise
        except (StoreStopped, StorageError, FileExistsError):
            return False
        finally:
            self._runner = None
        return True

    def _open(self, weather: Weather) -> Opened:
        store = weather.over(self.store)
        if not Journal(store, ID).load():
            graph = Graph((method(CONSTRUCTOR),))
            return intake.create(store, Submission(ID, graph, "t", actor={"replays": self.replays}))
        return intake.awaken(store, ID)

    def _usurp(self) -> None:
        if Journal(self.store, ID).load():
            self._claimed = [intake.awaken(self.store, ID)]

    async def _drive(self, opened: Opened, weather: Weather, calm: bool) -> None:
        assert opened.writer is not None
        witness = Witness(opened.writer, opened.state, self.acknowledged)
        loses = 0.0 if calm else self.random.choice((0.0, 0.05, 0.2))
        submitter = FakeActorSubmitter(
            BODIES, METHODS, seed=self.random.randrange(2**32), loses=loses
        )
        lane = submitter.lane = Lane(submitter)
        around = replace(surroundings(submitter, FakeClock(), io=weather.io), submitter=lane)
        runner = WorkflowRunner(opened.state, witness, around, f"owner {len(self.executed)}")
        first = [*opened.first, status_fact(WorkflowStatus.RUNNING)]
        await runner.commit(first, patiently=False)
        self._runner = runner
        self._opening.set()
        try:
            await finish(runner.run())
        finally:
            self.executed.append(submitter.executed)

    async def _call(self, caller: Caller) -> None:
        for call in caller.calls:
            for _ in range(self.random.randint(0, 30)):
                await asyncio.sleep(0)
            task_id = await self._made(call)
            caller.made.append(task_id)
            if call[3]:
                caller.seen[task_id] = await self._ended(task_id)

    async def _made(self, call: tuple[str, str, int, bool]) -> str:
        """Make a call as often as it takes; returns its task."""
        call_id, name, argument, _ = call
        graph = Graph((method(name, argument, max_retries=2, retry_exceptions=name == "flaky"),))
        while True:
            runner = await self._live_runner()
            found = ""

            def facts(state: WorkflowState = runner.state) -> list[Fact]:
                nonlocal found
                assert state.calls is not None
                if state.error is not None:
                    raise WorkflowEndedError(ID)
                made, found = state.calls.facts(state, graph, call_id, ())
                is_at_rest = state.status is WorkflowStatus.SUCCESSFUL
                return [status_fact(WorkflowStatus.RUNNING), *made] if made and is_at_rest else made

            try:
                await runner.record(facts, is_alone=False)
                return found
            except WorkflowEndedError:
                await asyncio.sleep(0)

    async def _ended(self, task_id: str) -> Any:
        """Wait for the end of a call; its value, or None if it failed."""
        while True:
            runner = self._runner
            state = fold(Journal(self.store, ID).load()) if runner is None else runner.state
            if state.calls is not None and task_id in state.calls.ended:
                value = state.calls.ended[task_id].value
                return None if value is None else unstored(value)
            for _ in range(1 if runner is not None else 20):  # reading the journal takes long
                await asyncio.sleep(0)

    async def _live_runner(self) -> WorkflowRunner:
        while self._runner is None or self._runner.state.calls is None:
            await asyncio.sleep(0)
        return self._runner

    def _check(self) -> None:
        journal = Journal(self.store, ID).load()
        require([r.seq for r in journal] == list(range(1, len(journal) + 1)), "a gap in seq")
        tasks = {r.task_id: r for r in journal if r.kind == Kind.TASK}
        check_states(journal, tasks)
        calls = [r.task_id for r in journal if r.kind == Kind.TASK and r.data.get("call_id")]
        ids = [tasks[c].data["call_id"] for c in calls]
        for caller in self.callers:
            made = [caller.made.index(m) for m in calls if m in caller.made]
            require(
                made == sorted(made),
                f"the order of a caller's calls is lost: {caller.made} {calls}",
            )
        state, ends = WorkflowState(), dict[str, CallEnd]()
        for record in journal:
            state.apply(record)
            ends |= {} if state.calls is None else state.calls.ended
        require(state.calls is not None, "no actor any more")
        assert state.calls is not None
        require(not state.calls.open, f"calls are left: {state.calls.open}")
        failed = {r.task_id for r in journal if r.kind == Kind.FAILED and r.data["next"] == "call"}
        last = dict(zip(ids, calls, strict=True))
        again = [c for c, i in zip(calls, ids, strict=True) if c != last[i]]
        require(failed.issuperset(again), "a call that had not failed was made once more")
        for caller in self.callers:
            for task_id, value in caller.seen.items():
                end = ends[task_id]
                known = None if end.value is None else unstored(end.value)
                require(value == known, f"{task_id} was said to be {value}, and is {known}")


def follows(name: str, state: Any, arguments: Any) -> Any:
    """The state that a method leaves."""
    if name in ("add", "flaky"):
        return state + arguments
    return {CONSTRUCTOR: 0, "remind": state}.get(name, (state or 0) + 1)


def check_states(journal: list[Record], tasks: dict[str | None, Record]) -> None:
    """Each state follows from the one before it, in the order of the journal."""
    state: Any = None
    for record in journal:
        if record.kind not in (Kind.SUCCEEDED, Kind.CONTINUED) or "state" not in record.data:
            continue
        task = tasks[record.task_id]
        name, arguments = task.data["method"], unstored(_args(task))
        left = unstored(_state(record))
        want = follows(name, state, arguments)
        require(left == want, f"{record.task_id} has left {left} where {want} follows from {state}")
        if name in ("add", "flaky") and record.kind == Kind.SUCCEEDED:
            require(
                unstored(_value(record)) == left, f"{record.task_id} has another value than it left"
            )
        state = left


def _args(record: Record) -> StoredValue:
    return StoredValue.from_record(record.data["args"], record.value)


def _value(record: Record) -> StoredValue:
    return StoredValue.from_record(record.data["value"], record.value)


def _state(record: Record) -> StoredValue:
    value = record.data.get("value")
    skipped = value["size"] if value else 0
    return StoredValue.from_record(record.data["state"], (record.value or b"")[skipped:])
