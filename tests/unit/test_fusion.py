"""Which tasks may follow another one in its worker, and what of a relay belongs into the journal."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.core.fusion import adopted, followers
from rayflow.core.outcomes import Outcome, outcome_of, succeeded
from rayflow.core.records import Record
from rayflow.core.state import fold
from rayflow.runtime.task_calls import may_share
from tests.unit.story import VALUE, Story, node

OUTCOME = Outcome("value", value=VALUE, preview={"type": "int"}, detail={"node": "n", "pid": 1})


def behind(story: Story, first: str = "a", least: int = 1) -> list[str]:
    found = followers(story.state, story.state.tasks[first], may_share, least)
    return [task.task_id for task in found]


def test_a_chain_follows_its_first_task() -> None:
    story = Story(node("a"), node("b", 0), node("c", 1), node("d", 2))
    assert behind(story) == ["b", "c", "d"]
    assert behind(story, least=4) == []


def test_a_task_with_other_inputs_follows_when_those_are_there() -> None:
    story = Story(node("x"), node("a"), node("b", 0, 1), node("c", 2))
    assert behind(story) == []
    story.start()
    story.end("x")
    assert behind(story) == ["b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        {"max_retries": 0},
        {"timeout": 1.0},
        {"effect": True},
        {"bundle": False},
        {"ray": {"num_cpus": 2}},
    ],
)
def test_a_chain_ends_where_a_worker_is_not_to_be_shared(other: dict[str, Any]) -> None:
    assert behind(Story(node("a"), node("b", 0), node("c", 1, **other))) == ["b"]


@pytest.mark.parametrize("checkpoint", [False, "async"])
def test_a_chain_ends_behind_a_value_that_is_not_stored_first(checkpoint: Any) -> None:
    assert behind(Story(node("a"), node("b", 0, checkpoint=checkpoint), node("c", 1))) == ["b"]


def test_a_chain_ends_where_others_use_the_value() -> None:
    assert behind(Story(node("a"), node("b", 0), node("c", 0), node("d", 1, 2))) == []


def relayed(*names: str, attempt: int = 1) -> list[Record]:
    return [succeeded(name, attempt, OUTCOME).at(n, 5.0) for n, name in enumerate(names, 1)]


def test_what_a_relay_has_more_than_the_journal_is_adopted_in_order() -> None:
    story = Story(node("a"), node("b", 0), node("c", 1), node("d", 2))
    story.start()
    story.end("a")
    found = adopted(fold(story.records), relayed("a", "b", "c"), 9.0)
    assert [(r.seq, r.task_id, r.time) for r in found] == [
        (len(story.records) + 1, "b", 9.0),
        (len(story.records) + 2, "c", 9.0),
    ]


def test_a_value_whose_inputs_are_not_recorded_is_not_adopted() -> None:
    story = Story(node("a"), node("b", 0))
    assert adopted(fold(story.records), relayed("b"), 9.0) == []


def test_an_attempt_that_is_over_is_not_adopted() -> None:
    story = Story(node("a"), node("b", 0))
    story.start()
    story.fail("a", "lost")
    assert adopted(fold(story.records), relayed("unknown", "a", attempt=0), 9.0) == []


def test_an_outcome_comes_back_from_its_record() -> None:
    assert outcome_of(succeeded("a", 1, OUTCOME).at(1, 0.0)) == OUTCOME
