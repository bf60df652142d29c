"""Several workflows in the hands of the real engine class, with limits, users, crashes and a rival.

The engine is the one of :mod:`rayflow.runtime.engine`; only Ray, threads and the wait for another
owner's silence are taken away from it.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple
from unittest import mock

from rayflow.config import Limits
from rayflow.core.actors import CONSTRUCTOR, Calls
from rayflow.core.graph import Graph
from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.state import fold
from rayflow.errors import JournalCorruptError, WorkflowError
from rayflow.runtime import engine as engines
from rayflow.runtime.actor_calls import ActorCall
from rayflow.runtime.floor import Floor
from rayflow.runtime.intake import Submission
from rayflow.runtime.lanes import Lane
from rayflow.runtime.live import LiveWorkflow
from rayflow.runtime.surroundings import Surroundings
from rayflow.storage.index import Index
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store
from rayflow.testing.actors import FakeActorSubmitter
from rayflow.testing.crash_store import StoreStopped
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import FakeClock, FakeSubmitter
from tests.simulation import actors
from tests.simulation.actors import check_states, method
from tests.simulation.checks import check_finals, check_one_outcome_per_task, check_values
from tests.simulation.weather import Weather
from tests.simulation.witness import require
from tests.simulation.workflows import BODIES, random_graph

LIVES = 4
TURNS = 5_000
ACTOR = "actor"
ENDED = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED)


class Equipment(NamedTuple):
    """What a simulated floor needs."""

    weather: Weather
    random: Random
    problems: list[str]


class Messenger:
    """Brings what attempts say to the runner of their workflow, which is made after its submitter."""

    def __init__(self, live: LiveWorkflow) -> None:
        self._live = live

    def started(self, task_id: str, attempt: int, token: str) -> None:
        if self._live.runner is not None:
            self._live.runner.started(task_id, attempt, token)

    def heard(self, task_id: str, attempt: int, token: str, details: Any) -> None:
        if self._live.runner is not None:
            self._live.runner.heard(task_id, attempt, token, details)


class SimulatedFloor(Floor):
    """The floor, with attempts that run in this process."""

    equipment: Equipment

    def _surroundings(self, workflow_id: str, live: LiveWorkflow) -> Surroundings:
        weather, random, problems = self.equipment
        loses = random.choice((0.0, 0.1)) if weather.is_rough else 0.0
        seed, place = random.randrange(2**32), None
        if live.lane is None:
            submitter = FakeSubmitter(BODIES, seed=seed, loses=loses)
        else:
            submitter = FakeActorSubmitter(actors.BODIES, actors.METHODS, seed=seed, loses=loses)
            place = live.lane = submitter.lane = Lane(submitter)
        submitter.problems = problems
        submitter.observer = Messenger(live)
        window = random.choice((1, 2, 8))
        return replace(
            super()._surroundings(workflow_id, live),
            submitter=place or submitter,
            host=submitter,
            clock=FakeClock(),
            window=lambda: window,
        )


class SimulatedEngine(engines.Engine):
    """The engine, on a store and in weather of the simulation."""

    floor_type = SimulatedFloor

    def __init__(
        self, store: Store, limits: Limits, weather: Weather, random: Random, number: int = 0
    ) -> None:
        self._weather = weather
        self.problems: list[str] = []
        with ExitStack() as patches:
            # What an engine does to its process, logs and collector, must not be done to that of the tests.
            for name in ("ray", "Nodes", "engine_logs", "gc"):
                patches.enter_context(mock.patch.object(engines, name))
            patches.enter_context(mock.patch.object(engines, "open_store", return_value=store))
            patches.enter_context(mock.patch.object(engines, "Floor", self.floor_type))
            super().__init__("memory", limits, f"engine {random.random()}", number=number)
        self.floor: SimulatedFloor = self._floor  # type: ignore[assignment]
        self.floor.equipment = Equipment(weather, random, self.problems)

    async def _io(self, function: Callable[[], Any]) -> Any:
        result: list[Any] = []
        await self._weather.io(lambda: result.append(function()))
        return result[0]

    async def _take_over(self) -> None:
        index = self._registry._index
        self._registry.entries = await self._io(lambda: index.take_over(None))
        for workflow_id in self._registry.interrupted():
            await self._recover(workflow_id)

    def die(self) -> None:
        """Nothing of its process is left."""
        for task in (*self.floor._running, self._starting):
            if task is not None:
                task.cancel()


class Crowd:
    """One seed's worth of workflows, users and engines."""

    def __init__(self, seed: int, engine_type: type[SimulatedEngine] = SimulatedEngine) -> None:
        self.random = random = Random(seed)
        self.store = MemoryStore(appends=random.random() < 0.7)
        self.graphs = {f"w{n}": random_graph(random) for n in range(random.randint(2, 4))}
        self.limits = Limits(random.choice((None, 1, 1, 2)), random.choice((None, None, 0, 1)))
        self.calls = 0
        self.accepted_calls: set[str] = set()
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()
        self._engine_type = engine_type

    async def live(self) -> None:
        """Engines one after the other, or two at once, and at last one in good weather."""
        rivals = []
        for _ in range(self.random.randint(0, LIVES)):
            engine = self._engine(Weather(self.random, False, lambda: None).without_errors())
            users = asyncio.ensure_future(self._use(engine))
            if self.random.random() < 0.3:
                await self._turns(self.random.randint(0, 80))
                rivals.append((engine, users))  # it goes on while the next one takes its root
                continue
            await users
            engine.die()
        for rival, users in rivals:
            await users
            rival.die()
        last = self._engine(Weather(self.random, True, lambda: None))
        await self._finish(last)
        self._check(last)

    def _engine(self, weather: Weather) -> SimulatedEngine:
        return self._engine_type(weather.over(self.store), self.limits, weather, self.random)

    async def _use(self, engine: SimulatedEngine) -> None:
        """What users ask of an engine until it dies, or for a while."""
        requests = [self._submit(engine, workflow_id) for workflow_id in self.graphs]
        requests += [self._ask(engine) for _ in range(self.random.randint(0, 6))]
        requests += [self._call(engine) for _ in range(self.random.choice((0, 0, 4)))]
        self.random.shuffle(requests)
        users = []
        for request in requests:
            users.append(asyncio.ensure_future(request))
            await self._turns(self.random.randint(0, 15))
        await self._turns(self.random.randint(0, 60))
        for user in users:
            user.cancel()
        for result in await asyncio.gather(*users, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _submit(self, engine: SimulatedEngine, workflow_id: str) -> None:
        submission = Submission(workflow_id, self.graphs[workflow_id], token=f"of {workflow_id}")
        if await done(engine.submit(submission)):
            self.accepted.add(workflow_id)

    async def _call(self, engine: SimulatedEngine) -> None:
        """Call the actor, which somebody may have to make first, and perhaps wait for the value."""
        new = Graph((method(CONSTRUCTOR),))
        submission = Submission(ACTOR, new, "of actor", must_be_new=True, actor={"name": "Cell"})
        if not await done(engine.create_actor(submission)):
            return
        self.calls += 1
        name = self.random.choice(("add", "add", "fail", "spread", "countdown"))
        call = ActorCall(ACTOR, Graph((method(name, 1),)), f"call {self.calls}")
        ask = engine.run_method if self.random.random() < 0.5 else engine.call_actor
        if await done(ask(call)):
            self.accepted_calls.add(call.call_id)

    async def _ask(self, engine: SimulatedEngine) -> None:
        workflow_id = self.random.choice([*self.graphs, ACTOR])
        action = self.random.choice(("cancel", "suspend", "suspend", "resume", "resume", "delete"))
        if workflow_id == ACTOR and action == "cancel":
            return  # nobody could call it any more
        if action == "delete":
            self.deleted.add(workflow_id)  # from here on it may be gone
        await done(getattr(engine, action)(workflow_id))

    async def _finish(self, engine: SimulatedEngine) -> None:
        """Submit what nobody accepted, and resume until everything has ended."""
        await engine.start()
        for turn in itertools.count():
            require(
                turn < TURNS,
                f"it does not end: {engine.floor.live}, {self.graphs.keys()}, {engine._registry.entries}",
            )
            entries = engine._registry.entries
            known = [*self.graphs, *({ACTOR} & entries.keys())]
            waiting = [w for w in known if w not in entries or entries[w].status not in ENDED]
            if not waiting and not engine.floor.live:
                return
            for workflow_id in waiting if not engine.floor.live else ():
                if workflow_id not in entries:
                    await self._submit(engine, workflow_id)
                elif workflow_id not in self.deleted or Journal(self.store, workflow_id).load():
                    await done(engine.resume(workflow_id))
                else:
                    await engine.delete(workflow_id)  # a crash came in between
            await asyncio.sleep(0)

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    def _check(self, engine: SimulatedEngine) -> None:
        slots = engine._places._admission
        require(not slots._running and not slots._pending, "a slot has leaked")
        require(not engine.problems, f"problems: {engine.problems}")
        entries = Index(self.store).read()
        lost = self.accepted - self.deleted - entries.keys()
        require(not lost, f"accepted and lost: {lost}")
        for workflow_id, entry in entries.items():
            journal = Journal(self.store, workflow_id).load()
            if not journal and workflow_id in self.deleted:
                continue  # a crash came between its removal and that of its entry
            require([r.seq for r in journal] == list(range(1, len(journal) + 1)), "a gap in seq")
            check_one_outcome_per_task(journal)
            check_values(journal)
            state = fold(journal)
            status = state.status
            if state.calls is not None:
                self._check_calls(journal, state.calls)
            if state.is_finished:
                check_finals(state)
            # What nobody acknowledged, because of a crash, is in the journal only: a resume, a cancel,
            # or a call of an actor at rest and what became of it.
            is_unheard = entry.status == WorkflowStatus.FAILED and (
                status.is_live or status is WorkflowStatus.CANCELED
            )
            is_unheard |= entry.actor is not None and entry.status == WorkflowStatus.SUCCESSFUL
            require(
                is_unheard or status == entry.status,
                f"{workflow_id} is {status}, listed as {entry.status}",
            )

    def _check_calls(self, journal: list[Record], calls: Calls) -> None:
        tasks = {r.task_id: r for r in journal if r.kind == Kind.TASK}
        check_states(journal, tasks)
        left = {tasks[call].data["call_id"] for call in calls.open}
        require(not left & self.accepted_calls, f"calls were accepted and are left: {left}")
        made = {r.data.get("call_id") for r in tasks.values()}
        lost = set() if ACTOR in self.deleted else self.accepted_calls - made
        require(not lost, f"calls were accepted and lost: {lost}")


async def done(work: Coroutine[Any, Any, Any]) -> bool:
    """Whether a request was granted; refusals and a dead engine are answers, too."""
    try:
        await work
    except JournalCorruptError:
        raise
    except (WorkflowError, StoreStopped, queue.Full, FileExistsError):
        return False
    return True
