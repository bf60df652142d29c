"""Limits of time and the steps of stopping: the rules of the core, and the engine's loop in simulation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rayflow.core.deadlines import FORCE_SECONDS, GRACE_SECONDS, StopTask, WakeAt
from rayflow.core.graph import Graph, Node
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import Finish, TimeOut
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.core.tasks import TaskStatus
from rayflow.errors import TaskTimeoutError
from rayflow.retry import Retry
from rayflow.runtime import intake
from rayflow.runtime.intake import Submission
from rayflow.storage.journal import Journal
from rayflow.testing import simulation
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    Attempt,
    Body,
    FakeClock,
    FakeSubmitter,
    Hang,
    run_workflow,
    unstored,
)
from tests.unit.story import CAUGHT, ERROR, VALUE, Story, node

EXPIRED = Outcome("expired", value=CAUGHT, error=ERROR)


def running(story: Story, task_id: str, at: float = 0.0) -> None:
    """The body of a task has begun."""
    story.now = at
    fact = Fact(Kind.STARTED, task_id, story.state.in_flight[task_id])
    story.state.apply(fact.at(story.state.last_seq + 1, at))


def carry_out(story: Story, at: float) -> list[StopTask]:
    """The stops that are due at a time, as the engine would carry them out."""
    story.now = at
    found = [command for command in story.plan() if isinstance(command, StopTask)]
    for stop in found:
        story.state.under_way[stop.task_id].apply(stop.means, stop.expired, at)
    return found


# --- the steps of stopping --------------------------------------------------------------------------


def test_an_attempt_is_asked_then_forced_then_signalled() -> None:
    story = Story(node("a", grace=5.0))
    story.start()
    story.tell(Fact(Kind.CANCEL_REQUESTED))

    assert carry_out(story, 100.0) == [StopTask("a", "ask")]
    assert story.plan() == [WakeAt(105.0)]
    assert carry_out(story, 105.0) == [StopTask("a", "force")]
    assert story.plan() == [WakeAt(105.0 + FORCE_SECONDS)]
    assert carry_out(story, 105.0 + FORCE_SECONDS) == [StopTask("a", "signal")]
    assert story.plan() == []


def test_the_grace_is_thirty_seconds_unless_the_task_says_otherwise() -> None:
    story = Story(node("a"), node("b", grace=0.0), node("c", 0, 1))
    story.start()
    story.tell(Fact(Kind.SUSPEND_REQUESTED))

    assert carry_out(story, 1.0) == [StopTask("a", "ask"), StopTask("b", "force")]
    assert WakeAt(1.0 + GRACE_SECONDS) in story.plan()


def test_a_forced_cancel_skips_the_grace_even_if_it_comes_second() -> None:
    story = Story(node("a"))
    story.start()
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    carry_out(story, 1.0)
    story.state.no_grace = True

    assert carry_out(story, 1.5) == [StopTask("a", "force")]


def test_the_process_of_a_body_that_has_stopped_is_ended_at_once() -> None:
    story = Story(node("a"))
    story.start()
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    carry_out(story, 1.0)
    story.state.under_way["a"].is_over = True

    assert carry_out(story, 1.1) == [StopTask("a", "force")]


def test_a_value_that_comes_in_time_is_kept_and_starts_nothing() -> None:
    story = Story(node("a"), node("b", 0))
    story.start()
    story.tell(Fact(Kind.CANCEL_REQUESTED))
    carry_out(story, 1.0)
    story.end("a", Outcome("value", value=VALUE))

    assert story.statuses() == {"a": "SUCCESSFUL", "b": "PENDING"}
    assert story.plan() == [Finish(WorkflowStatus.CANCELED)]


# --- the limits of an attempt ------------------------------------------------------------------------


def test_a_timeout_is_measured_from_when_the_body_started() -> None:
    story = Story(node("a", timeout=10.0))
    story.start()
    assert story.plan() == []  # it waits for a place in the cluster
    running(story, "a", at=50.0)

    assert story.plan() == [WakeAt(60.0)]
    assert carry_out(story, 60.0) == [StopTask("a", "ask", "timeout")]
    assert story.plan() == [WakeAt(60.0 + GRACE_SECONDS)]


def test_a_heartbeat_puts_its_limit_off() -> None:
    story = Story(node("a", heartbeat_timeout=10.0))
    story.start()
    running(story, "a", at=50.0)
    story.state.under_way["a"].heard_at = 55.0

    assert carry_out(story, 60.0) == []
    assert carry_out(story, 65.0) == [StopTask("a", "ask", "heartbeat")]


def test_a_start_of_an_older_attempt_sets_no_limit() -> None:
    story = Story(node("a", timeout=10.0))
    story.tell(Fact(Kind.STARTED, "a", 1))
    story.start()

    assert story.state.in_flight == {"a": 2}
    assert story.plan() == []


def test_running_out_of_time_is_retried_like_a_crash() -> None:
    story = Story(node("a", timeout=1.0, max_retries=1))
    story.start()
    [failed] = story.end("a", EXPIRED)
    assert (failed.data["cause"], failed.data["next"]) == ("timeout", "retry")
    story.start()
    [failed] = story.end("a", EXPIRED)

    assert failed.data["next"] == "final"
    [finish] = story.plan()
    assert isinstance(finish, Finish)
    assert finish.status is WorkflowStatus.FAILED


def test_with_retry_it_counts_in_max_attempts_together_with_exceptions() -> None:
    retry = Retry(max_attempts=3, system_attempts=9, initial=0).describe()
    story = Story(node("a", retry=retry))
    outcomes = []
    for kind in ("error", "lost", "expired", "expired"):
        story.start()
        outcomes.append(story.fail("a", kind)[0].data["next"])
    assert outcomes == ["retry", "retry", "retry", "final"]


def test_an_uncaught_expiry_is_final_if_the_retry_says_so_and_a_catcher_takes_it() -> None:
    story = Story(node("a", catch_exceptions=True), node("b", 0))
    story.start()
    facts = story.end("a", Outcome("expired", value=CAUGHT, error=ERROR, retryable=False))

    assert [fact.kind for fact in facts] == [Kind.FAILED, Kind.SUCCEEDED]
    assert story.start() == ["b"]


# --- the last heartbeat ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost", "expired"])
def test_the_last_heartbeat_of_a_failed_attempt_is_recorded(kind: str) -> None:
    story = Story(node("a"))
    story.start()
    story.state.under_way["a"].heartbeat = {"row": 7}
    [failed] = story.fail("a", kind)

    assert failed.data["heartbeat"] == {"row": 7}
    assert story.state.tasks["a"].heartbeat == {"row": 7}
    assert fold(story.records).tasks["a"].heartbeat == {"row": 7}


def test_the_last_heartbeat_of_a_suspended_attempt_is_recorded() -> None:
    story = Story(node("a"))
    story.start()
    story.state.under_way["a"].heartbeat = [1]
    story.tell(Fact(Kind.SUSPEND_REQUESTED))
    [fact] = story.end("a", Outcome("stopped"))

    assert (fact.kind, fact.data) == (Kind.HEARTBEAT, {"details": [1]})
    assert story.state.in_flight == {}
    again = fold(story.records)
    assert again.tasks["a"].heartbeat == [1]
    assert "a" in again.ready


# --- the limit of a workflow -------------------------------------------------------------------------


def timed(*nodes: Node, seconds: float = 100.0, at: float = 0.0) -> Story:
    story = Story(*nodes)
    data = {**story.state.accepted, "workflow_timeout": seconds}
    story.state._accepted(Record(1, at, Kind.ACCEPTED, data=data))
    return story


def test_a_workflow_that_uses_up_its_time_is_stopped_and_failed() -> None:
    story = timed(node("a"), node("b", 0))
    story.start()
    assert story.plan() == [WakeAt(100.0)]
    story.now = 100.0
    assert story.plan()[0] == TimeOut()
    story.tell(Fact(Kind.TIMED_OUT))
    assert carry_out(story, 100.0) == [StopTask("a", "ask")]
    assert story.end("a", Outcome("stopped")) == []
    story.state.settle("a")

    [finish] = story.plan()
    assert isinstance(finish, Finish)
    assert finish.error is not None
    assert finish.status is WorkflowStatus.FAILED
    assert finish.error["type"] == "rayflow.errors.WorkflowTimeoutError"
    assert "workflow.resume" in finish.error["message"]


def test_waiting_in_the_queue_counts() -> None:
    story = timed(node("a"))
    story.status(WorkflowStatus.PENDING)
    assert story.plan() == [WakeAt(100.0)]
    story.now = 101.0
    assert story.plan() == [TimeOut()]
    story.tell(Fact(Kind.TIMED_OUT))
    [finish] = story.plan()
    assert isinstance(finish, Finish)


def test_only_a_resume_that_somebody_asked_for_gives_new_time_and_new_budgets() -> None:
    story = timed(node("a", max_retries=2))
    story.start()
    story.fail("a", "lost")
    story.tell(Fact(Kind.TIMED_OUT))
    state = story.state
    state.apply(Record(90, 500.0, Kind.RESUMED, data={"reset": [], "asked": False}))
    assert (state.timed_out, state.deadline, state.tasks["a"].failures) == (False, 100.0, 1)
    state.apply(Record(91, 500.0, Kind.RESUMED, data={"reset": [], "asked": True}))
    assert (state.deadline, state.tasks["a"].failures) == (600.0, 0)


# --- the engine's loop --------------------------------------------------------------------------------


def drive(graph: Graph, bodies: dict[str, Body], **submission: Any) -> tuple[Any, ...]:
    store, submitter, clock = MemoryStore(), FakeSubmitter(bodies, seed=3), FakeClock()
    opened = intake.create(store, Submission("w", graph, token="t", **submission))
    state = asyncio.run(run_workflow(opened, submitter, clock))
    return state, submitter, Journal(store, "w").load(), store


def failures(records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind == Kind.FAILED]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_hung_attempt_is_stopped_and_the_next_one_starts_after_it_is_gone(heeds: bool) -> None:
    def sticky(attempt: Attempt) -> Any:
        return 5 if attempt.call.attempt == 2 else Hang(heeds)

    graph = Graph((simulation.node("sticky", timeout=60.0, grace=7.0),))
    state, submitter, records, _ = drive(graph, {"sticky": sticky})

    assert state.status is WorkflowStatus.SUCCESSFUL
    [failed] = failures(records)
    assert failed.data["error"]["type"] == "rayflow.errors.TaskTimeoutError"
    assert [call.attempt for call in submitter.killed] == ([] if heeds else [1])
    started = [record for record in records if record.kind == Kind.STARTED]
    took = failed.time - started[0].time
    assert (60 if heeds else 67) <= took < (67 if heeds else 77)
    assert started[1].seq > failed.seq


def test_the_next_attempt_gets_the_last_heartbeat() -> None:
    def resumes(attempt: Attempt) -> Any:
        return attempt.call.heartbeat or Hang(heartbeat={"row": 12})

    graph = Graph((simulation.node("resumes", heartbeat_timeout=5.0),))
    state, _, records, _ = drive(graph, {"resumes": resumes})

    assert unstored(state.output.value) == {"row": 12}
    assert failures(records)[0].data["heartbeat"] == {"row": 12}
    assert failures(records)[0].data["error"]["type"] == "rayflow.errors.TaskHeartbeatError"


def test_a_caught_timeout_is_the_real_exception() -> None:
    graph = Graph((simulation.node("hangs", timeout=5.0, max_retries=0, catch_exceptions=True),))
    state, _, _, _ = drive(graph, {"hangs": lambda attempt: Hang()})

    value, error = unstored(state.output.value)
    assert value is None
    assert type(error) is TaskTimeoutError
    assert (error.workflow_id, error.task_id, error.attempt) == ("w", "hangs", 1)


def test_a_retry_whose_judge_refuses_heartbeat_errors_ends_with_the_first_one() -> None:
    options = {"retry": Retry(max_attempts=5).describe(), "expiry": ("timeout",)}
    graph = Graph((simulation.node("hangs", heartbeat_timeout=5.0, **options),))
    state, submitter, _, _ = drive(graph, {"hangs": lambda attempt: Hang()})

    assert state.status is WorkflowStatus.FAILED
    assert len(submitter.executed) == 1


def test_a_workflow_out_of_time_fails_and_a_resume_gives_it_new_time() -> None:
    patience = {"calls": 0}

    def slow(attempt: Attempt) -> Any:
        patience["calls"] += 1
        return 9 if patience["calls"] > 1 else Hang()

    graph = Graph((simulation.node("slow"),))
    state, _, records, store = drive(graph, {"slow": slow}, workflow_timeout=30.0)
    assert state.status is WorkflowStatus.FAILED
    assert state.tasks["slow"].status is TaskStatus.PENDING
    assert [record.kind for record in records][-2:] == [Kind.TIMED_OUT, Kind.STATUS]

    resumed = intake.adopt(store, "w", resume=True)
    state = asyncio.run(run_workflow(resumed, FakeSubmitter({"slow": slow}), FakeClock()))
    assert state.status is WorkflowStatus.SUCCESSFUL
    assert isinstance(state, WorkflowState)
