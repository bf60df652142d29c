"""Several engines of one root, each of which dies and comes back by itself, with limits for all together.

The engines are those of :mod:`rayflow.runtime.engine`; their calls of each other take their time, and are
repeated when the one that was called has died, as Ray does it.
"""

from __future__ import annotations

import asyncio
import itertools
import pickle
from collections.abc import Coroutine
from random import Random
from typing import Any
from unittest import mock

from rayflow.config import Limits
from rayflow.core.records import WorkflowStatus
from rayflow.core.state import fold
from rayflow.errors import EngineUnavailableError
from rayflow.runtime import engine as engines
from rayflow.runtime.intake import Submission
from rayflow.runtime.peers import Peers
from rayflow.storage.index import Index
from rayflow.storage.journal import Journal
from rayflow.storage.partition import Partition, engine_of, read_entries, repartition
from rayflow.testing.memory_store import MemoryStore
from tests.simulation.checks import check_finals, check_one_outcome_per_task, check_values
from tests.simulation.crowd import (
    ENDED,
    TURNS,
    SimulatedEngine,
    SimulatedFloor,
    done,
)
from tests.simulation.weather import Weather
from tests.simulation.witness import require
from tests.simulation.workflows import random_graph

DEATHS = 6


class Colleagues(Peers):
    """The other engines in the same process. What is said to one that dies is said to the next one."""

    team: Team

    async def ask(self, number: int, verb: str, *args: Any) -> Any:
        if number == self._registry.part.number:
            return await getattr(self._engine, verb)(*args)
        said = pickle.dumps(args)
        while True:
            await self.team.pause()
            engine = self.team.engines[number]
            if engine is None:
                raise EngineUnavailableError(f"Engine {number} has never been made.")
            if engine.floor.is_dead:
                await asyncio.sleep(0)
                continue
            call = asyncio.ensure_future(getattr(engine, verb)(*pickle.loads(said)))
            engine.served.append(call)
            await asyncio.wait({call})  # which goes on if this caller dies
            await self.team.pause()
            if not call.cancelled():
                return pickle.loads(pickle.dumps(call.result()))
            while self.team.engines[number] is engine:
                await asyncio.sleep(0)


class MortalFloor(SimulatedFloor):
    """A floor that does nothing more when its engine is dead."""

    is_dead = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self.is_dead:
            work.close()
        else:
            super().spawn(work)


class Member(SimulatedEngine):
    """One engine of a team."""

    floor_type = MortalFloor

    def __init__(self, team: Team, number: int) -> None:
        self.served: list[asyncio.Future[Any]] = []
        weather = Weather(team.random, False, lambda: None).without_errors().without_crashes()
        with mock.patch.object(engines, "Peers", Colleagues):
            super().__init__(team.store, team.limits, weather, team.random, number)
        self._peers.team = team  # type: ignore[attr-defined]
        self._registry.part = Partition(number, team.count)

    async def _take_over(self) -> None:
        part = self._registry.part
        if part.number > 0:
            await self._peers.ask(0, "start")
        index = self._registry._index
        self._registry.entries = await self._io(lambda: index.take_over(None, None, part.has))
        await self._carry_on(self._registry.interrupted())

    def die(self) -> None:
        self.floor.is_dead = True  # type: ignore[attr-defined]
        super().die()
        for task in (*self.served, *self._family._busy):
            task.cancel()

    def running(self) -> list[str]:
        """The workflows that have a slot."""
        return [
            workflow_id
            for workflow_id, live in self.floor.live.items()
            if live.is_accepted
            and not live.is_done
            and live.runner is not None
            and live.runner.state.status is WorkflowStatus.RUNNING
        ]


class Team:
    """One seed's worth of workflows and engines that share a root."""

    def __init__(self, seed: int, member: type[Member] = Member) -> None:
        self.random = random = Random(seed)
        self.store = MemoryStore(appends=random.random() < 0.7)
        self.count = random.randint(2, 3)
        self.limits = Limits(random.choice((1, 1, 2)), random.choice((None, None, 1)))
        self.graphs = {f"w{n}": random_graph(random) for n in range(random.randint(3, 6))}
        self.engines: list[Any] = [None] * self.count
        self.accepted: set[str] = set()
        self._member = member
        self._slowest = random.choice((0, 1, 4, 25))

    async def pause(self) -> None:
        """A message takes its time."""
        for _ in range(self.random.randint(0, self._slowest)):
            await asyncio.sleep(0)

    async def live(self) -> None:
        """Use the engines, let them die and come back, and then let everything come to its end."""
        repartition(self.store, self.count)
        for number in range(self.count):
            self._revive(number)
        users = [asyncio.ensure_future(self._submit(w)) for w in self.graphs]
        for _ in range(self.random.randint(0, DEATHS)):
            await self._turns(self.random.randint(0, 80))
            number = self.random.randrange(self.count)
            self.engines[number].die()
            await self._turns(self.random.choice((0, 0, 10)))
            self._revive(number)
        await self._finish()
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)
        await self._at_rest()
        self._check()
        for engine in self.engines:
            engine.die()

    def _revive(self, number: int) -> None:
        self.engines[number] = self._member(self, number)
        self.engines[number].served.append(asyncio.ensure_future(self.engines[number].start()))

    def _of(self, workflow_id: str) -> Any:
        return self.engines[engine_of(workflow_id, self.count)]

    async def _submit(self, workflow_id: str) -> None:
        await self._turns(self.random.randint(0, 60))
        submission = Submission(workflow_id, self.graphs[workflow_id], token=f"of {workflow_id}")
        if await self._ask(self._of(workflow_id), "submit", submission):
            self.accepted.add(workflow_id)

    async def _ask(self, engine: Any, verb: str, *args: Any) -> bool:
        """Whether a request was granted; one to an engine that dies, or is dead, is not."""
        if engine.floor.is_dead:
            return False

        async def granted() -> bool:
            return await done(getattr(engine, verb)(*args))

        call = asyncio.ensure_future(granted())
        engine.served.append(call)
        await asyncio.wait({call})
        return not call.cancelled() and call.result()

    async def _finish(self) -> None:
        """Submit what nobody accepted, and resume until everything has ended."""
        for turn in itertools.count():
            require(turn < TURNS, f"it does not end: {[e._registry.entries for e in self.engines]}")
            await self._turn()
            if any(engine.floor.live for engine in self.engines):
                continue
            entries = {k: e for engine in self.engines for k, e in engine._registry.entries.items()}
            waiting = [w for w in self.graphs if w not in entries or entries[w].status not in ENDED]
            if not waiting:
                return
            for workflow_id in waiting:
                if workflow_id in entries:
                    await self._ask(self._of(workflow_id), "resume", workflow_id)
                else:
                    await self._submit(workflow_id)

    async def _at_rest(self) -> None:
        """What engines have to say to each other is said."""
        for _ in range(20 * (self._slowest + 1)):
            await self._turn()

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            await self._turn()

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        running = [w for engine in self.engines for w in engine.running()]
        assert self.limits.running is not None
        require(
            len(running) <= self.limits.running,
            f"{running} run, where {self.limits.running} may",
        )

    def _check(self) -> None:
        slots = self.engines[0]._places._admission
        require(not slots._running and not slots._pending, "a slot has leaked")
        for engine in self.engines:
            require(not engine.problems, f"problems: {engine.problems}")
        require(bool(Index(self.store).last_epoch()), "nobody owns the root")
        parts = [entries for _, entries in read_entries(self.store)]
        found = {entry.workflow_id: entry for entries in parts for entry in entries}
        require(sum(map(len, parts)) == len(found), "a workflow has two engines")
        lost = self.accepted - found.keys()
        require(not lost, f"accepted and lost: {lost}")
        for workflow_id, entry in found.items():
            journal = Journal(self.store, workflow_id).load()
            check_one_outcome_per_task(journal)
            check_values(journal)
            state = fold(journal)
            check_finals(state)
            require(
                state.status == entry.status,
                f"{workflow_id} is {state.status}, listed as {entry.status}",
            )
