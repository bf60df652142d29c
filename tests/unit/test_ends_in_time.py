"""Limits of time and ``finally_`` tasks: what winds up a workflow is limited too, and not stopped with it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rayflow.core.deadlines import StopTask, WakeAt
from rayflow.core.graph import Graph
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import Finish, StartTask
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.tasks import TaskStatus
from rayflow.runtime import intake
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Submission, status_fact
from rayflow.runtime.stopping import ended
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall
from rayflow.testing import simulation
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    START,
    Attempt,
    FakeClock,
    FakeSubmitter,
    Hang,
    finish,
    run_workflow,
    surroundings,
)
from tests.unit.story import Story
from tests.unit.story import node as task
from tests.unit.test_deadlines import carry_out, running
from tests.unit.test_finals import final

END = [Fact(Kind.CANCEL_REQUESTED), Fact(Kind.TIMED_OUT)]


def winding_up(end: Fact, **options: Any) -> Story:
    """A workflow that was stopped while ``a`` ran, and runs the ``finally_`` task ``b``."""
    story = Story(task("a"), final("b", 0, **options))
    story.state.accepted["workflow_timeout"] = 9.0
    story.state.deadline = 9.0
    story.start()
    story.tell(end)
    carry_out(story, 10.0)
    if not story.end("a", Outcome("stopped")):
        story.state.settle("a")
    assert story.start() == ["b"]
    return story


@pytest.mark.parametrize("end", END, ids=["canceled", "out of time"])
def test_a_finally_task_that_takes_too_long_is_stopped_and_tried_again(end: Fact) -> None:
    story = winding_up(end, timeout=5.0, grace=1.0)
    running(story, "b", 20.0)
    assert story.plan() == [WakeAt(25.0)]
    assert carry_out(story, 25.0) == [StopTask("b", "ask", "timeout")]
    assert carry_out(story, 26.0) == [StopTask("b", "force")]
    outcome = ended(story.state, "b", Outcome("lost"), 26.0)
    assert outcome.kind == "expired"
    story.end("b", outcome)
    assert story.start() == ["b"]


@pytest.mark.parametrize("end", END, ids=["canceled", "out of time"])
def test_the_time_of_the_workflow_and_a_forced_cancel_do_not_stop_finally_tasks(end: Fact) -> None:
    story = winding_up(end)
    story.state.no_grace = True
    running(story, "b", 20.0)
    story.now = 1_000.0
    assert story.plan() == []


def test_a_workflow_that_used_up_its_time_says_so_although_a_finally_task_failed_then() -> None:
    story = winding_up(Fact(Kind.TIMED_OUT))
    story.fail("b")
    [end] = story.plan()
    assert isinstance(end, Finish)
    assert (end.error or {})["type"] == "rayflow.errors.WorkflowTimeoutError"


def test_one_that_has_its_value_and_then_a_failing_finally_task_has_failed_with_that() -> None:
    story = Story(task("a"), final("b", 0))
    story.state.accepted["workflow_timeout"] = 9.0
    story.start()
    story.tell(Fact(Kind.TIMED_OUT))
    story.end("a")
    assert story.start() == ["b"]
    story.fail("b")
    [end] = story.plan()
    assert isinstance(end, Finish)
    assert (end.error or {})["task_id"] == "b"


def test_a_workflow_whose_time_is_up_in_the_queue_waits_for_its_turn_to_run_finally_tasks() -> None:
    story = Story(task("a"), final("b", 0))
    story.state.accepted["workflow_timeout"] = 9.0
    story.status(WorkflowStatus.PENDING)  # after a crash
    story.tell(Fact(Kind.TIMED_OUT))
    assert story.plan() == []
    story.status(WorkflowStatus.RUNNING)
    assert story.plan() == [StartTask("b", 1)]


def test_what_used_a_value_that_is_no_more_is_stopped_by_steps() -> None:
    story = Story(task("a", checkpoint="async"), task("b", 0, grace=2.0))
    story.start()
    story.state.lend("a")
    story.start()
    story.fail("a", "lost")
    assert carry_out(story, 1.0) == [StopTask("b", "ask")]
    assert carry_out(story, 3.0) == [StopTask("b", "force")]
    story.state.settle("b")  # no outcome of it counts
    assert story.start() == ["a"]


def test_the_attempt_after_one_that_came_to_nothing_has_another_number() -> None:
    story = Story(task("a", checkpoint="async"), task("b", 0))
    story.start()
    story.state.lend("a")
    story.start()
    story.fail("a", "lost")
    story.state.settle("b")
    story.start()
    story.end("a")
    assert story.plan() == [StartTask("b", 2)]


def run(graph: Graph, submitter: FakeSubmitter, timeout: float | None = None) -> WorkflowState:
    submission = Submission("w", graph, token="t", workflow_timeout=timeout)
    opened = intake.create(MemoryStore(), submission)
    return asyncio.run(run_workflow(opened, submitter, FakeClock()))


def test_the_engine_runs_finally_tasks_after_the_time_of_the_workflow() -> None:
    cleanup = replace(simulation.node("clean", timeout=3.0), finally_of=0)
    graph = Graph((simulation.node("hang"), cleanup), finals=1)

    def clean(attempt: Attempt) -> int | Hang:
        return Hang() if attempt.call.attempt == 1 else 1

    state = run(graph, FakeSubmitter({"hang": lambda _: Hang(), "clean": clean}), timeout=5.0)
    assert state.status is WorkflowStatus.FAILED
    assert (state.error or {})["type"] == "rayflow.errors.WorkflowTimeoutError"
    assert state.tasks["clean"].status is TaskStatus.SUCCESSFUL
    assert state.tasks["clean"].failures == 1


class SlowStores(FakeSubmitter):
    """Storing the value of an attempt takes longer than the attempt may."""

    def store(self, call: TaskCall, outcome: Outcome, handle: Handle) -> Handle:
        storing = super().store(call, outcome, handle)
        storing.outcome.ticks = 200
        return storing


async def while_a_value_is_stored() -> tuple[WorkflowRunner, FakeClock, asyncio.Future[None]]:
    """The body of the only task has returned, and its value is on its way into the storage."""
    limits: dict[str, Any] = {"timeout": 1.0, "heartbeat_timeout": 1.0}
    graph = Graph((simulation.node("a", checkpoint="async", **limits),))
    for seed in range(20):  # which decides whether the value is large
        opened = intake.create(MemoryStore(), Submission("w", graph, token="t"))
        assert opened.writer is not None
        submitter, clock = SlowStores({"a": lambda _: 1}, seed=seed), FakeClock()
        around = surroundings(submitter, clock)
        submitter.observer = runner = WorkflowRunner(opened.state, opened.writer, around, "token")
        await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
        work = asyncio.ensure_future(finish(runner.run()))
        while not (work.done() or runner.state.provisional):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if runner.state.provisional:
            return runner, clock, work
        await work
    raise AssertionError("no value was large")


async def test_the_limits_of_an_attempt_end_with_its_body_however_long_its_value_is_stored() -> (
    None
):
    runner, clock, work = await while_a_value_is_stored()
    await clock.sleep(100.0)
    await work
    assert runner.state.status is WorkflowStatus.SUCCESSFUL
    assert runner.state.tasks["a"].failures == 0


def test_a_task_that_started_early_has_its_limits_from_then_on() -> None:
    class SlowStorage(SlowStores):
        """Storing the first value takes ten times as long as the second task may."""

        async def outcome(self, handle: Handle) -> Outcome:
            if handle.outcome.storing is not None:
                while self.killed == [] and clock.now() < START + 100.0:
                    await asyncio.sleep(0)
            return await super().outcome(handle)

    def slow(attempt: Attempt) -> Hang:
        return Hang(heeds=False)

    nodes = (
        simulation.node("a", checkpoint="async"),
        simulation.node("b", 0, timeout=10.0, grace=1.0, max_retries=0),
    )
    killed = 0
    for seed in range(10):
        clock = FakeClock()
        submitter = SlowStorage({"a": lambda _: 1, "b": slow}, seed=seed)
        opened = intake.create(MemoryStore(), Submission("w", Graph(nodes), token="t"))
        state = asyncio.run(run_workflow(opened, submitter, clock))
        assert (state.error or {})["type"] == "rayflow.errors.TaskTimeoutError"
        killed += clock.now() < START + 50.0
    assert killed == 10


async def test_the_process_of_a_body_that_has_returned_is_left_alone_though_it_is_heard_of_late() -> (
    None
):
    runner, _, work = await while_a_value_is_stored()
    runner.started("a", 1, "token", "a process that runs another task now")
    assert runner.state.under_way["a"].place is None
    await work
