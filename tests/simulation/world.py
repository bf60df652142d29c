"""One seed's worth of workflow, storage and bad luck: engines live and die until the workflow ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from random import Random
from typing import Any

from rayflow.core.planner import lost_values
from rayflow.core.records import Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.errors import JournalCorruptError, StorageError, WorkflowNotResumableError
from rayflow.runtime import intake
from rayflow.runtime.executor import Surroundings, WorkflowRunner, Writer
from rayflow.runtime.intake import Opened, Submission, status_fact
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store
from rayflow.testing.crash_store import StoreStopped
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import FakeClock, finish, surroundings
from tests.simulation.actors import ActorWorld
from tests.simulation.checks import (
    check_finals,
    check_one_outcome_per_task,
    check_values,
    check_waits,
    said,
)
from tests.simulation.crowd import Crowd
from tests.simulation.meddler import Meddler
from tests.simulation.team import Team
from tests.simulation.weather import Weather
from tests.simulation.witness import (
    Violation,
    WatchedSubmitter,
    Witness,
    check_nothing_is_left,
    require,
)
from tests.simulation.workflows import random_graph

CALM_AFTER = 6  # lives; then nothing is lost and nothing crashes, so the workflow must end
ID = "simulated"
ENDS = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED)

RunnerType = Callable[[WorkflowState, Writer, Surroundings, str], WorkflowRunner]


class World:
    """One seed's worth of workflow, storage and bad luck."""

    def __init__(
        self,
        seed: int,
        runner_type: RunnerType = WorkflowRunner,
        witness_type: type[Witness] = Witness,
    ) -> None:
        self.random = Random(seed)
        self.store = MemoryStore(appends=self.random.random() < 0.7)
        self.graph = random_graph(self.random)
        self.timeout = self.random.choice((None, None, None, 8.0))
        self.acknowledged: list[Record] = []
        self.problems: list[str] = []
        self.relayed: list[tuple[str, int, bytes | None]] = []
        self.early = self.finals = 0  # attempts, as in WatchedSubmitter
        self._runner_type, self._witness_type = runner_type, witness_type
        self._resumes = 0
        self._claimed: list[Opened] = []
        self._tokens: list[str] = []
        self._last = WorkflowState()

    async def live(self) -> None:
        """Lives of engines, one after the other or overlapping, until the workflow has ended."""
        overtaken: list[asyncio.Task[bool]] = []
        for life in itertools.count():
            calm = life >= CALM_AFTER
            require(life < 4 * CALM_AFTER, f"it does not end; problems: {self.problems}")
            self._usurped = asyncio.get_running_loop().create_future()
            work = asyncio.ensure_future(self._one_life(calm))
            if not calm and self.random.random() < 0.15:
                # Somebody else takes over while this engine still runs.
                for _ in range(self.random.randint(0, 40)):
                    await asyncio.sleep(0)
                overtaken.append(work)
                continue
            await asyncio.wait([work, self._usurped], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                overtaken.append(work)
            elif work.result() and not self._claimed and not self._wants_resume():
                break
        await asyncio.gather(*overtaken)
        for _ in range(4 * CALM_AFTER):  # one of those may have resumed it, and crashed
            if fold(Journal(self.store, ID).load()).status in ENDS:
                break
            await self._one_life(calm=True)
        self._check()

    async def _one_life(self, calm: bool) -> bool:
        """Whether the workflow has ended; False if the engine died or was overtaken."""
        weather = Weather(self.random, calm, self._usurp)
        try:
            opened = self._claimed.pop() if self._claimed else self._open(weather.over(self.store))
            self._last = opened.state
            if opened.writer is None:
                return True
            await self._drive(opened, opened.writer, weather, calm)
        except JournalCorruptError:
            raise
        except (StoreStopped, StorageError, FileExistsError):
            return False  # it died, was overtaken, or somebody else created the journal first
        return True

    def _open(self, store: Store) -> Opened:
        try:
            return intake.adopt(store, ID, resume=self.random.random() < 0.5)
        except WorkflowNotResumableError:  # nothing of it is durable: it is submitted once more
            return intake.create(store, self._submission())

    def _submission(self) -> Submission:
        return Submission(ID, self.graph, token="t", workflow_timeout=self.timeout)

    def _usurp(self) -> None:
        """Another engine claims the workflow in the middle of a storage operation of this one."""
        with contextlib.suppress(WorkflowNotResumableError):
            self._claimed = [intake.adopt(self.store, ID, resume=self.random.random() < 0.5)]
            if not self._usurped.done():
                self._usurped.set_result(None)

    async def _drive(self, opened: Opened, writer: Writer, weather: Weather, calm: bool) -> None:
        witness = self._witness_type(writer, opened.state, self.acknowledged)
        loses = 0.0 if calm else self.random.choice((0.0, 0.1, 0.3))
        clock = FakeClock()
        relays = self.store if self.store.appends and self.random.random() < 0.7 else None
        seed = self.random.randrange(2**32)
        submitter = WatchedSubmitter(witness, clock, seed, loses, relays)
        window = self.random.choice((1, 2, 8))
        around = surroundings(submitter, clock, window=window, io=weather.io)
        self._tokens.append(f"owner {len(self._tokens)}")
        runner = self._runner_type(opened.state, witness, around, self._tokens[-1])
        submitter.observer = runner
        may_run = calm or self.random.random() < 0.8
        status = WorkflowStatus.RUNNING if may_run else WorkflowStatus.PENDING
        meddling = Meddler(self.random, runner, submitter, self._tokens).act(calm, may_run)
        meddler = asyncio.ensure_future(meddling)
        try:
            await runner.commit([*opened.first, status_fact(status)], patiently=False)
            await finish(runner.run())
            check_nothing_is_left(runner, submitter)
        finally:
            meddler.cancel()
            self.problems += submitter.problems
            self.relayed += submitter.relayed
            self.early += submitter.early
            self.finals += submitter.finals

    def _wants_resume(self) -> bool:
        """Whether somebody resumes a workflow that failed, a few times; the system's failures always."""
        state = self._last
        if state.status is WorkflowStatus.SUCCESSFUL:
            return bool(lost_values(state)) and self.random.random() < 0.5
        self._resumes += 1
        if state.status is WorkflowStatus.FAILED:
            return self._resumes < 3
        return state.status is not WorkflowStatus.CANCELED

    def _check(self) -> None:
        journal = Journal(self.store, ID).load()
        require(not self.problems, f"problems: {self.problems}")
        require([r.seq for r in journal] == list(range(1, len(journal) + 1)), "a gap in seq")
        kept = {record.seq: said(record) for record in journal}
        for record in self.acknowledged:
            require(kept.get(record.seq) == said(record), f"lost or changed: {record}")
        values = {(r.task_id, r.attempt, r.value) for r in journal if r.kind == Kind.SUCCEEDED}
        canceled = {r.task_id for r in journal if r.kind == Kind.TASK_CANCELED}
        lost = [r for r in self.relayed if r not in values and r[0] not in canceled]
        require(not lost, f"somebody relied on values that are not recorded: {lost}")
        check_one_outcome_per_task(journal)
        check_values(journal)
        check_waits(journal)
        errors = [r.data["error"] or {} for r in journal if r.kind == Kind.STATUS]
        require(all(e.get("type") != "WorkflowStuck" for e in errors), "it was stuck")
        check_finals(fold(journal))
        final = fold(journal).status
        require(final in ENDS, f"it ended {final}")


def simulate(seed: int, **variant: Any) -> None:
    """Run one seed: every tenth is about several workflows, every fiftieth about an actor.

    The several workflows are those of one engine, or of a few that share a root.

    Raises:
        Violation: a promise was broken; the text names the seed and the command that repeats it.
    """
    world = _kind(seed, variant)(seed, **variant)
    try:
        asyncio.run(world.live())
    except Exception as error:
        raise Violation(
            f"seed {seed}: {type(error).__name__}: {error}\n"
            f"Repeat it with: python -m tests.simulate {seed}"
        ) from error


def _kind(seed: int, variant: dict[str, Any]) -> type[World | Crowd | Team]:
    if variant:
        return Team if "member" in variant else Crowd if "engine_type" in variant else World
    if seed % 10 == 9:
        return Team if seed % 20 == 19 else Crowd
    return ActorWorld if seed % 50 == 4 else World
