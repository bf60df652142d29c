"""Random workflows, random failures, random crashes, the real engine loop: thousands of runs a minute.

Every run has a seed; a failure names it and the command that repeats it. Broken engines at the end show
that the checks notice what they are there for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import pytest

from rayflow.core import provisional
from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import Finish
from rayflow.core.records import Fact, Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskStatus
from rayflow.errors import FencedError
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.inbox import Happening, Inbox
from rayflow.runtime.places import FarPlaces, Held, OwnPlaces
from rayflow.runtime.submitter import Handle
from rayflow.runtime.surroundings import Surroundings, Writer
from tests.simulation.crowd import SimulatedEngine, SimulatedFloor
from tests.simulation.many import first_violation, violations
from tests.simulation.team import Member
from tests.simulation.witness import Witness
from tests.simulation.world import World

RUNS = int(os.environ.get("SIMULATED_RUNS", "4000"))


@pytest.mark.timeout(1200)
def test_whatever_fails_and_whoever_crashes_the_promises_hold() -> None:
    assert violations(range(RUNS)) == []


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

    async def commit(self, facts: Sequence[Fact], *, patiently: bool = True) -> None:
        now, seq = self._around.clock.now(), self.state.last_seq
        records = [fact.at(seq + n, now) for n, fact in enumerate(facts, start=1)]
        for record in records:
            self.state.apply(record)
        self._execute()
        if records:
            self._writer.commit(records)


class CredulousRunner(WorkflowRunner):
    """An engine that believes every outcome, whenever it comes."""

    def _settle(
        self, task_id: str, attempt: int, outcome: Outcome, handle: Handle | None
    ) -> list[Fact]:
        task = self.state.tasks[task_id]
        kept = task.status
        task.status = type(kept).PENDING
        self.state.dispatch(task_id, attempt)
        self._handles.pop(task_id, None)
        facts = facts_of(self.state, task_id, attempt, outcome, self._around.clock.now())
        task.status = kept
        return facts


class LeakyRunner(WorkflowRunner):
    """An engine that forgets to strike out attempts that were lost."""

    def _settle(
        self, task_id: str, attempt: int, outcome: Outcome, handle: Handle | None
    ) -> list[Fact]:
        facts = super()._settle(task_id, attempt, outcome, handle)
        if outcome.kind == "lost" and handle is not None:
            self._handles[task_id] = handle
        return facts


class CarelessInbox(Inbox):
    """Lets nothing wait for the records that it rests on."""

    def _must_wait(
        self, happening: Happening, with_value: AbstractSet[str | None] = frozenset()
    ) -> bool:
        return False


class CarelessRunner(WorkflowRunner):
    """An engine with such an inbox."""

    def __init__(
        self, state: WorkflowState, writer: Writer, around: Surroundings, token: str
    ) -> None:
        super().__init__(state, writer, around, token)
        self._inbox = CarelessInbox(state, around.clock)


class ForgetfulRunner(WorkflowRunner):
    """An engine that ends workflows without their finally_ tasks."""

    def _execute(self) -> tuple[Finish | None, float | None]:
        if not self.state.in_flight and self.state.output.status is TaskStatus.SUCCESSFUL:
            return Finish(WorkflowStatus.SUCCESSFUL), None
        return super()._execute()


class ForgetfulFloor(SimulatedFloor):
    """A floor that keeps the slots of workflows that have ended."""

    def _close(self, workflow_id: str) -> None:
        self.live.pop(workflow_id).finish()


class ForgetfulEngine(SimulatedEngine):
    """An engine with such a floor."""

    floor_type = ForgetfulFloor


class CarelessMember(Member):
    """A first engine that gives slots away before it knows which ones the others have."""

    async def _held_elsewhere(self) -> list[Held]:
        return []


class SilentMember(Member):
    """An engine that does not say when it needs a place no more."""

    def _made_places(self) -> OwnPlaces | FarPlaces:
        places = super()._made_places()
        if isinstance(places, FarPlaces):
            places._spawn = lambda work: work.close()
        return places


@pytest.mark.parametrize(
    ("variant", "noticed"),
    [
        ({"witness_type": UnfencedWitness}, "lost or changed"),
        ({"runner_type": HastyRunner}, "was started"),
        ({"runner_type": CredulousRunner}, "a second outcome"),
        ({"runner_type": LeakyRunner}, "left behind"),
        ({"runner_type": CarelessRunner}, "recorded before"),
        ({"runner_type": ForgetfulRunner}, "has not run at the end"),
        ({"engine_type": ForgetfulEngine}, "a slot has leaked"),
        ({"member": CarelessMember}, "run, where"),
        ({"member": SilentMember}, "does not end"),
    ],
    ids=[
        "it is not fenced",
        "it acts before the commit",
        "it takes late messages",
        "it leaks attempts",
        "it records what rests on a value without a record",
        "it forgets finally_ tasks",
        "it leaks slots",
        "it gives slots away twice",
        "it keeps the slots that others have given it",
    ],
)
def test_the_simulation_notices_an_engine_that_breaks_a_promise(
    variant: dict[str, Any], noticed: str
) -> None:
    found = first_violation(range(500), about=noticed, **variant)
    assert noticed in found
    assert "python -m tests.simulate" in found


def test_the_simulation_notices_effects_that_start_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisional, "may_start", lambda task: task.missing == task.lent)
    assert "effect=True" in first_violation(range(500), about="effect=True")


def test_tasks_of_the_simulation_do_start_early_and_finally_tasks_run() -> None:
    worlds = [World(seed) for seed in range(200)]
    for world in worlds:
        asyncio.run(world.live())
    assert sum(world.early for world in worlds) > 20
    assert sum(world.finals for world in worlds) > 20
