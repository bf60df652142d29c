"""``checkpoint="async"``: consumers start early, and nothing is recorded that rests on a lent value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rayflow.core.graph import Graph
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import StopTask
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.tasks import TaskStatus
from rayflow.runtime import intake
from rayflow.runtime.inbox import Inbox
from rayflow.runtime.intake import Submission
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall
from rayflow.storage.journal import Journal
from rayflow.testing import simulation
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import FakeClock, FakeSubmitter, run_workflow
from tests.unit.story import Story, node

ASYNC: dict[str, Any] = {"checkpoint": "async"}


def test_a_consumer_starts_when_the_value_is_there_and_not_before() -> None:
    story = Story(node("a", **ASYNC), node("b", 0))
    assert story.start() == ["a"]
    assert story.start() == []
    story.state.lend("a")
    assert story.start() == ["b"]
    story.end("a")
    assert story.start() == []
    assert story.state.tasks["b"].missing == story.state.tasks["b"].lent == 0


def test_a_task_with_an_effect_waits_for_the_record() -> None:
    story = Story(node("a", **ASYNC), node("b", 0, effect=True))
    story.start()
    story.state.lend("a")
    assert story.start() == []
    story.end("a")
    assert story.start() == ["b"]


def test_what_started_from_a_value_that_is_lost_is_stopped_and_runs_again() -> None:
    story = Story(node("a", **ASYNC), node("b", 0, **ASYNC), node("c", 1), node("d", 0, 2))
    story.start()
    for task_id in ("a", "b"):
        story.state.lend(task_id)
        story.start()
    assert list(story.state.in_flight) == ["a", "b", "c"]
    # When storing the first value fails
    story.end("a", Outcome("lost", error={"type": "Gone", "message": "", "traceback": None}))
    # Then everything that rests on it is stopped, and its outcomes count for nothing
    assert {c.task_id for c in story.plan() if isinstance(c, StopTask)} == {"b", "c"}
    assert story.end("c") == []
    story.state.settle("c")
    assert story.start() == ["a"]
    story.state.settle("b")
    # And it waits for the new value
    assert story.start() == []
    story.end("a")
    assert story.start() == ["b"]
    story.end("b")
    assert story.start() == ["c"]


def test_a_value_made_by_a_continuation_is_lent_to_who_waits_for_the_whole() -> None:
    story = Story(node("a", **ASYNC), node("b", 0))
    story.start()
    story.end("a", Outcome("graph", graph=Graph((node("inner"),))))
    assert story.state.tasks["inner"].options["checkpoint"] == "async"
    assert story.start() == ["inner"]
    story.state.lend("inner")
    assert story.start() == ["b"]
    # When the value is withdrawn, it is so for the whole
    story.fail("inner", "lost")
    assert story.state.outdated == {"b"}
    assert not story.state.provisional


def test_a_value_of_a_canceled_attempt_is_not_lent() -> None:
    story = Story(node("a", **ASYNC), node("b", 0))
    story.start()
    story.end("a", Outcome("stopped"))
    story.state.lend("a")
    assert not story.state.provisional
    assert story.state.tasks["a"].status is TaskStatus.CANCELED


class LosingSubmitter(FakeSubmitter):
    """Loses the first value that is to be stored."""

    lost = False

    async def outcome(self, handle: Handle) -> Outcome:
        outcome = await super().outcome(handle)
        if handle.value is None and not self.lost:
            self.lost = True
            return Outcome("lost", error={"type": "X", "message": "", "traceback": None})
        return outcome


@pytest.mark.parametrize("seed", range(12))
def test_a_value_that_cannot_be_stored_is_computed_again(seed: int) -> None:
    rolls = iter(range(100))
    bodies = {"roll": lambda attempt: next(rolls), "same": lambda attempt: attempt.inputs[0]}
    graph = Graph(
        (simulation.node("roll", checkpoint="async"), simulation.node("same", 0, **ASYNC))
    )
    store = MemoryStore()
    opened = intake.create(store, Submission("w", graph, token="t"))
    state = asyncio.run(run_workflow(opened, LosingSubmitter(bodies, seed=seed), FakeClock()))
    assert state.status is WorkflowStatus.SUCCESSFUL
    values = [r.value for r in Journal(store, "w").load() if r.kind == Kind.SUCCEEDED]
    assert values[0] == values[1]


def test_nothing_starts_from_a_value_whose_loss_is_being_recorded() -> None:
    bodies = {"one": lambda attempt: 1, "sum": lambda attempt: sum(attempt.inputs)}
    ones = [simulation.node("one", **ASYNC) for _ in range(4)]
    graph = Graph((*ones, simulation.node("sum", 0, 1, 2, 3)))
    for seed in range(200):
        opened = intake.create(MemoryStore(), Submission("w", graph, token="t"))
        submitter = LosingSubmitter(bodies, seed=seed)
        state = asyncio.run(run_workflow(opened, submitter, FakeClock()))
        assert (seed, state.status) == (seed, WorkflowStatus.SUCCESSFUL)
        assert (seed, submitter.problems) == (seed, [])


def test_an_input_that_was_lost_and_is_not_made_again_keeps_no_workflow_from_ending() -> None:
    story = Story(node("a", checkpoint=False), node("b", 0), node("c", 0))
    story.start()
    story.end("a", Outcome("value", value=simulation.stored(1), checkpoint=False))
    assert story.start() == ["b", "c"]
    died = {"type": "Died", "message": "", "traceback": None}
    story.end("c", Outcome("lost", error=died, lost_inputs=(0,)))
    assert story.start() == ["a"]  # once more
    # Given an outcome that waits until its input is on record
    inbox = Inbox(story.state, FakeClock())
    inbox.put(lambda: [Fact(Kind.STARTED, "b", 1)], about="b")
    assert asyncio.run(inbox.facts(wake_at=0.0)) == []
    # When the workflow is cancelled, it waits for as long as that may still be
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    assert asyncio.run(inbox.facts(wake_at=0.0)) == []
    story.end("a", Outcome("stopped"))
    # And no longer, and nothing comes of it
    assert len(asyncio.run(inbox.facts(wake_at=0.0))) == 1
    assert story.end("b", Outcome("stopped")) == []


def test_an_engine_that_cannot_start_an_early_task_says_so_instead_of_waiting_for_ever() -> None:
    class Refusing(FakeSubmitter):
        """Ray itself fails when the consumer is submitted."""

        def submit(self, call: TaskCall, options: Any, refs: Any) -> Handle:
            if call.task_id == "second":
                raise RuntimeError("Ray is gone")
            return super().submit(call, options, refs)

    graph = Graph((simulation.node("first", **ASYNC), simulation.node("second", 0)))
    opened = intake.create(MemoryStore(), Submission("w", graph, token="t"))
    submitter = Refusing({"first": lambda attempt: 1})
    with pytest.raises(RuntimeError, match="Ray is gone"):
        asyncio.run(run_workflow(opened, submitter, FakeClock()))
