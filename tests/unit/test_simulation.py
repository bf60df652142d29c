"""Random workflows, random failures, random crashes, the real engine loop: thousands of runs a minute.

Every run has a seed; a failure names it, and ``simulate(seed)`` repeats the run exactly. Two broken
engines at the end show that the checks notice what they are there for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from rayflow.core import provisional
from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import Finish, lost_values
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import TaskStatus, WorkflowState, fold
from rayflow.errors import FencedError, WorkflowNotResumableError
from rayflow.runtime import intake
from rayflow.runtime.executor import Surroundings, WorkflowRunner, Writer
from rayflow.runtime.intake import Opened, Submission, status_fact
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store
from rayflow.testing.crash_store import CrashStore, StoreStopped
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    FakeClock,
    FakeSubmitter,
    finish,
    surroundings,
    unstored,
)
from tests.simulation.workflows import BODIES, number, random_graph

SEEDS = 2_000
CALM_AFTER = 6  # lives; then nothing is lost and nothing crashes, so the workflow must end
ID = "simulated"
OUTCOMES = (Kind.SUCCEEDED, Kind.FAILED, Kind.CONTINUED, Kind.TASK_CANCELED)


class Violation(AssertionError):
    """A promise of the engine was broken."""


# --- what is watched while it runs ---------------------------------------------------------------------


class Witness:
    """A journal writer that notes what was acknowledged, and what is durable."""

    def __init__(self, inner: Writer, known: Sequence[Record], world: World) -> None:
        self.last_seq = inner.last_seq
        self.durable = fold(known)
        self._inner, self._world = inner, world

    def commit(self, records: Sequence[Record]) -> None:
        self._inner.commit(records)
        self.acknowledge(records)

    def acknowledge(self, records: Sequence[Record]) -> None:
        self.last_seq = records[-1].seq
        for record in records:
            self._check_order(record)
            self.durable.apply(record)
            if record.kind in OUTCOMES:
                self._world.acknowledged.append(record)

    def _check_order(self, record: Record) -> None:
        """Nothing is recorded of a task before the values that it rests on are."""
        if record.kind in (Kind.STARTED, Kind.SUCCEEDED, Kind.FAILED, Kind.CONTINUED):
            missing = self.durable.tasks[record.task_id or ""].missing
            require(not missing, f"recorded before {missing} of its inputs: {record}")


class WatchedSubmitter(FakeSubmitter):
    """Checks every start against what is durable."""

    def __init__(
        self, world: World, witness: Witness, clock: FakeClock, seed: int, loses: float
    ) -> None:
        super().__init__(BODIES, seed=seed, loses=loses)
        self._world, self._witness, self._clock = world, witness, clock
        self._running: set[str] = set()
        self.announce: Callable[[str, int, str], None] = lambda *attempt: None

    def submit(
        self, call: TaskCall, options: dict[str, Any], refs: list[tuple[int, Any]]
    ) -> Handle:
        task = self._witness.durable.tasks.get(call.task_id)
        if task is None:
            raise Violation(f"{call.task_id} was started before it was durable")
        missing = [u for u in task.upstream if not self._may_be_used(u)]
        effect = bool(task.missing and task.options["effect"])
        if missing or effect or task.status is not TaskStatus.PENDING:
            raise Violation(
                f"{call.task_id} was started while {task.status} with {missing} missing, {effect=}"
            )
        if task.retry_at is not None and self._clock.now() < task.retry_at:
            raise Violation(f"{call.task_id} was started before its wait was over")
        if task.finally_of is not None:
            self._check_end(call.task_id)
        self._running.add(call.task_id)
        if self._world.random.random() < 0.3:
            loop = asyncio.get_running_loop()
            loop.call_soon(self.announce, call.task_id, call.attempt, call.token)
        self._world.early += bool(task.missing)
        return super().submit(call, options, refs)

    async def outcome(self, handle: Handle) -> Outcome:
        outcome = await super().outcome(handle)
        self._running.discard(handle.outcome.call.task_id)
        return outcome

    def _check_end(self, task_id: str) -> None:
        """A finally_ task starts when the workflow has its end, and runs with none but its own kind."""
        durable = self._witness.durable
        is_over = durable.output.status is TaskStatus.SUCCESSFUL
        if not (is_over or durable.error or durable.cancel_requested):
            raise Violation(f"{task_id} was started before the end")
        others = [t for t in self._running if durable.tasks[t].finally_of is None]
        if others:
            raise Violation(f"{task_id} was started beside {others}")
        self._world.finals += 1

    def _may_be_used(self, task_id: str) -> bool:
        """Whether the value of a task is durable, or that of one that does not wait for that."""
        tasks = self._witness.durable.tasks
        task = tasks[task_id]
        while task.status is TaskStatus.CONTINUED and task.continued_to is not None:
            task = tasks[task.continued_to]
        return task.status is TaskStatus.SUCCESSFUL or task.options["checkpoint"] == "async"


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
        self.acknowledged: list[Record] = []
        self.problems: list[str] = []
        self.early = 0  # attempts that were started before their inputs were durable
        self.finals = 0  # attempts of finally_ tasks
        self._runner_type, self._witness_type = runner_type, witness_type
        self._resumes = 0
        self._last = WorkflowState()

    async def live(self) -> None:
        """Lives of engines, one after the other or overlapping, until the workflow has ended."""
        overtaken: list[asyncio.Task[None]] = []
        for life in itertools.count():
            calm = life >= CALM_AFTER
            require(life < 4 * CALM_AFTER, f"it does not end; problems: {self.problems}")
            work = asyncio.ensure_future(self._one_life(calm))
            if not calm and self.random.random() < 0.15:
                # Somebody else takes over while this engine still runs.
                for _ in range(self.random.randint(0, 40)):
                    await asyncio.sleep(0)
                overtaken.append(work)
                continue
            if await work and not self._wants_resume():
                break
        await asyncio.gather(*overtaken)
        self._check()

    async def _one_life(self, calm: bool) -> bool:
        """Whether the workflow has ended; False if the engine died or was overtaken."""
        stop_at = None if calm or self.random.random() < 0.4 else self.random.randrange(12)
        moment = self.random.choice(("before", "middle", "after"))
        store = CrashStore(self.store, stop_at=stop_at, moment=moment)
        try:
            opened = self._open(store)
            self._last = opened.state
            if opened.writer is None:
                return True
            await self._drive(opened, opened.writer, calm)
        except (StoreStopped, FencedError, FileExistsError):
            return False  # it died, was overtaken, or somebody else created the journal first
        return True

    def _open(self, store: Store) -> Opened:
        try:
            return intake.adopt(store, ID, resume=self.random.random() < 0.5)
        except WorkflowNotResumableError:  # nothing of it is durable: it is submitted once more
            return intake.create(store, Submission(ID, self.graph, token="t"))

    async def _drive(self, opened: Opened, writer: Writer, calm: bool) -> None:
        known = Journal(self.store, ID).load()
        witness = self._witness_type(writer, known, self)
        loses = 0.0 if calm else self.random.choice((0.0, 0.1, 0.3))
        clock = FakeClock()
        submitter = WatchedSubmitter(self, witness, clock, self.random.randrange(2**32), loses)
        around = surroundings(
            submitter,
            clock,
            window=self.random.choice((1, 2, 8)),
            slow=self.random.choice((1, 1, 12)),
        )
        runner = self._runner_type(opened.state, witness, around, "token")
        submitter.announce = runner.started
        try:
            await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
            if not calm and self.random.random() < 0.05:
                asyncio.get_running_loop().call_soon(runner.request_cancel)
            if not calm and self.random.random() < 0.1:
                submitter.after(self.random.randrange(6), runner.request_suspend)
            await finish(runner.run())
        finally:
            self.problems += submitter.problems

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
        check_one_outcome_per_task(journal)
        check_values(journal)
        errors = [r.data["error"] or {} for r in journal if r.kind == Kind.STATUS]
        require(all(e.get("type") != "WorkflowStuck" for e in errors), "it was stuck")
        check_finals(fold(journal))
        final = fold(journal).status
        ends = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED)
        require(final in ends, f"it ended {final}")


def said(record: Record) -> tuple[Any, ...]:
    """What a record says, but for the time, of which a journal keeps microseconds."""
    return record.kind, record.task_id, record.attempt, record.data, record.value


def require(promise: bool, otherwise: str) -> None:
    if not promise:
        raise Violation(otherwise)


def check_one_outcome_per_task(journal: Sequence[Record]) -> None:
    """An outcome is final unless a resume says that the task runs again."""
    ended: dict[str, str] = {}
    continued: set[str] = set()
    for record in journal:
        task_id = record.task_id or ""
        if record.kind == Kind.RESUMED:
            for reset in record.data["reset"]:
                ended.pop(reset, None)
                if reset in continued:
                    ended[reset] = Kind.CONTINUED
        elif record.kind == Kind.SUCCEEDED and record.data["caught"]:
            # A catcher has failed itself, or has continued as a graph in which something failed.
            require(ended.get(task_id) in ("caught", Kind.CONTINUED), f"not catching: {record}")
            ended[task_id] = record.kind
        elif record.kind == Kind.TASK_CANCELED:
            require(ended.get(task_id) in (None, Kind.CONTINUED), f"ended before: {record}")
            ended[task_id] = record.kind
        elif record.kind in OUTCOMES and record.data.get("next") != "retry":
            require(task_id not in ended, f"a second outcome after {ended.get(task_id)}: {record}")
            ended[task_id] = record.data.get("next", record.kind)
            if record.kind == Kind.CONTINUED:
                continued.add(task_id)


def check_finals(state: WorkflowState) -> None:
    """Every finally_ task that could run has run: its owner could have started, its inputs are there."""
    for task in state.tasks.values():
        if task.finally_of is None or task.status is not TaskStatus.PENDING:
            continue
        owner = state.tasks[task.finally_of]
        require(bool(task.missing or owner.missing), f"{task.task_id} has not run at the end")


def check_values(journal: Sequence[Record]) -> None:
    """Every stored value is what the body makes of the stored values of the inputs."""
    values: dict[str, Any] = {}
    for record in journal:
        if record.kind == Kind.SUCCEEDED and record.value is not None:
            values[record.task_id or ""] = unstored_record(record)
    state = fold(journal)
    for task in state.tasks.values():
        if task.function != "add" or task.task_id not in values:
            continue
        sources = [source_of(state, u) for u in task.upstream]
        if isinstance(values[task.task_id], tuple) or any(s not in values for s in sources):
            continue
        expected = unstored(task.args) + sum(number(values[s]) for s in sources)
        require(values[task.task_id] == expected, f"{task.task_id} has a wrong value")


def unstored_record(record: Record) -> Any:
    return unstored(StoredValue.from_record(record.data["value"], record.value))


def source_of(state: WorkflowState, task_id: str) -> str:
    """The task that made the value: the end of a chain of continuations."""
    while (below := state.tasks[task_id].continued_to) is not None:
        if state.tasks[below].status is not TaskStatus.SUCCESSFUL:
            break
        task_id = below
    return task_id


def simulate(seed: int, **variant: Any) -> None:
    """Run one seed.

    Raises:
        Violation: a promise was broken; the text names the seed.
    """
    try:
        asyncio.run(World(seed, **variant).live())
    except Exception as error:
        raise Violation(f"seed {seed}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("part", range(8))
def test_whatever_fails_and_whoever_crashes_the_promises_hold(part: int) -> None:
    for seed in range(part, SEEDS, 8):
        simulate(seed)


# --- negative controls: engines that are broken on purpose ---------------------------------------------


class UnfencedWitness(Witness):
    """A writer that goes on although a newer epoch owns the workflow."""

    def commit(self, records: Sequence[Record]) -> None:
        try:
            super().commit(records)
        except FencedError:
            self.acknowledge(records)


class HastyRunner(WorkflowRunner):
    """An engine that acts on outcomes first and makes them durable afterwards."""

    async def commit(self, facts: Sequence[Fact]) -> None:
        now, seq = self._around.clock.now(), self.state.last_seq
        records = [fact.at(seq + n, now) for n, fact in enumerate(facts, start=1)]
        for record in records:
            self.state.apply(record)
        self._execute()
        if records:
            await self._write(records)


class CarelessRunner(WorkflowRunner):
    """An engine that records outcomes although what they rest on is not recorded yet."""

    def _must_wait(self, happening: Any) -> bool:
        return False


class ForgetfulRunner(WorkflowRunner):
    """An engine that ends workflows without their finally_ tasks."""

    def _execute(self) -> tuple[Finish | None, float | None]:
        if not self.state.in_flight and self.state.output.status is TaskStatus.SUCCESSFUL:
            return Finish(WorkflowStatus.SUCCESSFUL), None
        return super()._execute()


def first_violation(**variant: Any) -> str:
    for seed in range(200):
        try:
            simulate(seed, **variant)
        except Violation as violation:
            return str(violation)
    return "nothing was noticed"


def test_the_simulation_notices_an_engine_that_is_not_fenced() -> None:
    assert "lost or changed" in first_violation(witness_type=UnfencedWitness)


def test_the_simulation_notices_an_engine_that_starts_tasks_before_the_commit() -> None:
    assert "was started" in first_violation(runner_type=HastyRunner)


def test_the_simulation_notices_an_engine_that_records_what_rests_on_a_value_without_a_record() -> (
    None
):
    assert "recorded before" in first_violation(runner_type=CarelessRunner)


def test_the_simulation_notices_effects_that_start_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisional, "may_start", lambda task: task.missing == task.lent)
    assert "effect=True" in first_violation()


def test_the_simulation_notices_an_engine_that_forgets_finally_tasks() -> None:
    assert "has not run at the end" in first_violation(runner_type=ForgetfulRunner)


def test_tasks_of_the_simulation_do_start_early() -> None:
    worlds = [World(seed) for seed in range(60)]
    for world in worlds:
        asyncio.run(world.live())
    assert sum(world.early for world in worlds) > 20
    assert sum(world.finals for world in worlds) > 20
