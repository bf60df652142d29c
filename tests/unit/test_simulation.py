"""Random workflows, random failures, random crashes, the real engine loop: thousands of runs a minute.

Every run has a seed; a failure names it and the command that repeats it. Broken engines at the end show
that the checks notice what they are there for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rayflow.core.records import Fact, Record
from rayflow.errors import FencedError
from rayflow.runtime.executor import WorkflowRunner
from tests.simulation.witness import Violation, Witness
from tests.simulation.world import simulate

SEEDS = 2_000


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
