"""What a fork takes over, of many random workflows: it runs what the plan says, and ends."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from rayflow.core import forking
from rayflow.core.graph import Graph
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import Finish, StartTask, StopTask
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from tests.unit.story import VALUE, Story, node

STEPS = 400


def random_nodes(dice: Random, prefix: str) -> list[Any]:
    """A DAG of a few nodes, whose last one is the root."""
    size = dice.randint(1, 6)
    made: list[Any] = []
    for n in range(size):
        below = [u for u in range(n) if dice.random() < 0.4]
        if n == size - 1:
            unused = set(range(n)) - {u for m in made for u in m.upstream}
            below = sorted({*below, *unused})
        options: dict[str, Any] = {"max_retries": 0}
        if dice.random() < 0.2:
            options["catch_exceptions"] = True
        if dice.random() < 0.2:
            options["checkpoint"] = False
        made.append(node(f"{prefix}{n}", *below, **options))
    return made


def play(story: Story, dice: Random, *, failures: float, growth: float) -> list[str]:
    """Run a workflow to its end; returns which tasks have run."""
    ran: list[str] = []
    for step in range(STEPS):
        commands = story.plan()
        ends = [c for c in commands if isinstance(c, Finish)]
        if ends:
            story.status(ends[0].status, ends[0].error)
            return ran
        for command in commands:
            if isinstance(command, StartTask):
                story.state.dispatch(command.task_id, command.attempt)
                ran.append(command.task_id)
            elif isinstance(command, StopTask):
                stop(story, command.task_id)
        under_way = list(story.state.in_flight)
        if not under_way:
            continue
        task_id = dice.choice(under_way)
        chance = dice.random()
        if chance < failures:
            story.fail(task_id)
        elif chance < failures + growth and len(story.state.tasks) < 40:
            graph = Graph(tuple(random_nodes(dice, f"{task_id}-{step}.")))
            story.end(task_id, Outcome("graph", graph=graph))
        else:
            is_stored = story.state.tasks[task_id].options["checkpoint"] is not False
            story.end(task_id, Outcome("value", value=VALUE, checkpoint=is_stored))
    raise AssertionError("it did not end")


def stop(story: Story, task_id: str) -> None:
    """Its process is gone; that is recorded unless it has been canceled already."""
    if not story.end(task_id, Outcome("stopped")):
        story.state.settle(task_id)


def forked(origin: Story, facts: list[Fact]) -> Story:
    """The fork as a story of its own."""
    fork = Story.__new__(Story)
    fork.records, fork.now, fork.state = [], 0.0, WorkflowState()
    accepted = next(r for r in origin.records if r.kind == Kind.ACCEPTED)
    fork.tell(Fact(Kind.ACCEPTED, data={**accepted.data, "workflow_id": "fork"}), *facts)
    fork.status(WorkflowStatus.RUNNING)
    return fork


@pytest.mark.parametrize("batch", range(10))
def test_a_fork_runs_what_its_plan_says(batch: int) -> None:
    forks = 0
    for seed in range(batch * 40, batch * 40 + 40):
        dice = Random(seed)
        origin = Story(*random_nodes(dice, "t"))
        play(origin, dice, failures=dice.choice([0, 0.1, 0.3]), growth=dice.choice([0, 0.3]))
        state = fold(origin.records)
        chosen = dice.sample(list(state.tasks), min(len(state.tasks), dice.randint(0, 2)))
        try:
            found = forking.boundary(state, origin.records, chosen)
        except ValueError as error:
            assert "would run again" in str(error)  # noqa: PT017 - most seeds get past it
            continue
        plan = forking.plan(state, state.status, found)
        facts = forking.taken_over(state, origin.records, found)
        fork = forked(origin, facts)
        ran = play(fork, dice, failures=0, growth=0)
        forks += 1
        if fork.state.status is not WorkflowStatus.SUCCESSFUL:
            raise AssertionError((seed, chosen, fork.state.error))
        assert set(plan.runs) <= set(ran), seed
        assert not set(plan.reused) & set(ran), seed
        assert set(chosen) <= {*plan.runs, *found.dropped}, seed
    assert forks > 30
