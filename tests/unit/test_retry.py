"""Trying again: what is worth it, how often, and after how long."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from rayflow import workflow
from rayflow.core.graph import Graph, StoredValue, TaskOptions, task_facts
from rayflow.core.graph import Node as GraphNode
from rayflow.core.outcomes import Outcome, facts_of
from rayflow.core.planner import StartTask, WakeAt, lost_values, plan
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.dag import translate
from rayflow.retry import Judge, Retry
from rayflow.runtime import code, nodes
from tests.unit.story import Story, node
from tests.unit.test_dag import MemoryEncoder

VALUE = StoredValue("json", 1, 0, b"1")
ERROR = {"type": "ValueError", "message": "no", "traceback": None}


class OddError(ValueError):
    """Not in an installed package, so it travels by value."""


@ray.remote
def work() -> None: ...


class Trial:
    """One task with ``retry``, whose attempts fail at the times that are given."""

    def __init__(self, retry: Retry | None, **options: Any) -> None:
        described = retry.describe() if retry else None
        only = GraphNode("t", "f", VALUE, (), TaskOptions(retry=described, **options))
        facts, root = task_facts(Graph((only,)), {}, {})
        running = Fact(Kind.STATUS, data={"status": str(WorkflowStatus.RUNNING), "error": None})
        self.state = WorkflowState()
        self.tell(Fact(Kind.ACCEPTED, data={"workflow_id": "w", "root": root}), *facts, running)

    def tell(self, *facts: Fact) -> None:
        for fact in facts:
            self.state.apply(fact.at(self.state.last_seq + 1, 0.0))

    def fail(self, kind: Any = "error", now: float = 0.0, *, retryable: bool = True) -> Any:
        """Run and fail one attempt; its record's data."""
        attempt = self.state.tasks["t"].attempt + 1
        self.state.dispatch("t", attempt)
        outcome = Outcome(kind, value=VALUE, error=ERROR, retryable=retryable)
        [fact] = facts_of(self.state, "t", attempt, outcome, now)
        self.tell(fact)
        return fact.data


def test_each_cause_has_a_budget_of_its_own() -> None:
    trial = Trial(Retry(max_attempts=2, system_attempts=3))
    kinds = ["lost", "error", "lost", "error"]
    assert [trial.fail(kind)["next"] for kind in kinds] == ["retry", "retry", "retry", "final"]
    trial = Trial(Retry(max_attempts=2, system_attempts=1))
    assert trial.fail("lost")["next"] == "final"


def test_no_end_is_no_end() -> None:
    trial = Trial(Retry(max_attempts=-1, system_attempts=-1))
    assert {trial.fail(kind)["next"] for kind in ["error", "lost"] * 2_000} == {"retry"}


def test_what_was_judged_not_worth_it_is_final() -> None:
    assert Trial(Retry()).fail(retryable=False)["next"] == "final"


def test_waits_grow_to_the_longest_and_start_when_the_attempt_failed() -> None:
    trial = Trial(Retry(max_attempts=-1, initial=2, factor=3, max=30, jitter=0))
    assert [trial.fail(now=100.0)["retry_at"] - 100 for _ in range(5)] == [2, 6, 18, 30, 30]
    assert trial.fail("lost", now=100.0)["retry_at"] == 102


def test_without_retry_nothing_waits() -> None:
    trial = Trial(None, retry_exceptions=True)
    assert trial.fail() | {"error": None} == {
        "error": None, "cause": "application", "next": "retry", "retry_at": None,
    }  # fmt: skip


def test_a_task_starts_when_its_wait_is_over_and_not_before() -> None:
    trial = Trial(Retry(initial=10, jitter=0))
    trial.fail(now=100.0)
    assert plan(trial.state, 109.9, window=8) == [WakeAt(110.0)]
    assert plan(trial.state, 110.0, window=8) == [StartTask("t", 2)]


def test_a_resume_does_not_shorten_the_wait_of_a_task_that_had_not_failed_for_good() -> None:
    trial = Trial(Retry(initial=10, jitter=0))
    trial.fail(now=100.0)
    trial.tell(Fact(Kind.RESUMED, data={"reset": []}))
    assert plan(trial.state, 101.0, window=8) == [WakeAt(110.0)]
    trial.tell(Fact(Kind.RESUMED, data={"reset": ["t"]}))
    assert plan(trial.state, 101.0, window=8) == [StartTask("t", 2)]


NUMBERS = st.floats(0, 1e300, allow_nan=False)


@given(NUMBERS, st.floats(1, 1e300), NUMBERS, st.floats(0, 1), st.integers(1, 40))
def test_a_wait_is_never_negative_nor_over_the_longest_and_always_the_same(
    initial: float, factor: float, longest: float, jitter: float, failures: int
) -> None:
    retry = Retry(-1, initial, factor, longest, jitter)
    told = [Trial(retry), Trial(retry)]
    for _ in range(failures):
        first, second = (trial.fail(now=0.0)["retry_at"] for trial in told)
        assert first == second
        assert 0 <= (first or 0) <= longest


@pytest.mark.parametrize(
    ("error", "bad"),
    [
        (ValueError, {"max_attempts": 0}), (ValueError, {"system_attempts": -2}),
        (TypeError, {"max_attempts": 1.5}), (TypeError, {"system_attempts": True}),
        (ValueError, {"initial": -1}), (ValueError, {"factor": 0.5}), (ValueError, {"max": float("inf")}),
        (ValueError, {"initial": float("nan")}), (ValueError, {"jitter": 1.1}), (TypeError, {"max": "1"}),
        (TypeError, {"on": ["ValueError"]}), (TypeError, {"never": int}), (TypeError, {"on": None}),
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_name(error: type[Exception], bad: dict[str, Any]) -> None:
    with pytest.raises(error, match=next(iter(bad))):
        Retry(**bad)


def test_the_option_takes_a_retry_and_nothing_else() -> None:
    with pytest.raises(TypeError, match="retry"):
        workflow.options(retry=3)


def test_an_exception_is_judged_by_on_and_never() -> None:
    judge = Retry(on=[ValueError, OSError], never=OddError).judge
    assert [judge(e) for e in (ValueError(), FileNotFoundError(), OddError(), KeyError())] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not Retry().judge(SystemExit())


def test_a_type_that_exists_twice_is_still_the_same_exception() -> None:
    again = type("OddError", (ValueError,), {"__module__": __name__})
    assert Judge((OddError,))(again())


def test_all_spellings_keep_a_retry() -> None:
    def body() -> None: ...

    chosen = Retry(max_attempts=7, on=(OddError,))
    spelled = [
        workflow.options(retry=chosen)(ray.remote(body)),
        ray.remote(body).options(**workflow.options(retry=chosen)),
        ray.remote(**workflow.options(retry=chosen))(body),  # type: ignore[call-overload]
    ]
    for remote in spelled:
        kept = nodes.call_of(remote.bind()).options["retry"]
        assert kept.describe() == chosen.describe()
        assert kept.judge(OddError())


def test_a_graph_has_the_numbers_and_the_types_travel_as_code() -> None:
    encoder = MemoryEncoder()
    listed = work.options(retry_exceptions=[OddError, KeyError])
    [made] = translate(listed.bind(), encoder).nodes
    assert made.options.retry_exceptions is True
    assert made.options.judge == repr(Judge((OddError, KeyError)))
    assert made.options.retry is None
    [made] = translate(work.options(**workflow.options(retry=Retry())).bind(), encoder).nodes
    assert made.options.retry == Retry().describe()
    [made] = translate(work.options(retry_exceptions=True).bind(), encoder).nodes
    assert made.options.judge is None


def test_a_judge_survives_the_journey() -> None:
    judge = pickle.loads(code.dump(Judge((OddError,), (KeyError,))))
    assert judge(OddError())
    assert not judge(KeyError())


def test_a_task_that_waits_is_not_started_without_an_input_that_was_lost() -> None:
    retry = {
        "max_attempts": 3,
        "system_attempts": 3,
        "initial": 10,
        "factor": 2,
        "max": 60,
        "jitter": 0,
    }
    story = Story(node("a", checkpoint=False), node("b", 0, retry=retry))
    story.start()
    story.end("a", Outcome("value", value=VALUE, checkpoint=False))
    story.start()
    story.fail("b")
    story.state = fold(story.records)
    assert lost_values(story.state) == ["a"]
    story.tell(Fact(Kind.RESUMED, data={"reset": ["a"]}))
    story.now = 100.0
    assert story.start() == ["a"]
    story.end("a", Outcome("value", value=VALUE, checkpoint=False))
    assert story.start() == ["b"]


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        (None, ("timeout", "heartbeat")),
        (Retry(), ("timeout", "heartbeat")),
        (Retry(on=ConnectionError), ()),
        (Retry(never=workflow.exceptions.TaskHeartbeatError), ("timeout",)),
        (Retry(on=workflow.exceptions.TaskHeartbeatError), ("heartbeat",)),
    ],
)
def test_whether_running_out_of_time_is_worth_another_attempt_is_judged_at_submission(
    retry: Retry | None, expected: tuple[str, ...]
) -> None:
    options = work.options(**workflow.options(retry=retry, timeout=5))
    [translated] = translate(options.bind(), MemoryEncoder()).nodes
    assert (translated.options.expiry, translated.options.timeout) == (expected, 5.0)
