"""A chain of continuations has no bound, so its length may not cost memory."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rayflow.core import planner
from rayflow.core.graph import Graph, Node
from rayflow.core.outcomes import Outcome
from rayflow.core.planner import failed_tasks
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import fold
from rayflow.runtime.intake import Submission, create
from rayflow.storage import local
from rayflow.storage.root import open_store
from rayflow.testing import simulation
from rayflow.testing.simulation import Attempt, FakeClock, FakeSubmitter, run_workflow, unstored
from tests.unit.story import CAUGHT, ERROR, VALUE, Story, node

LINKS = 10_000


def test_ten_thousand_continuations_leave_no_objects_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # memory is the question, and disks are slow
    monkeypatch.setattr(local, "sync_data", lambda fd: None)
    objects: dict[int, int] = {}

    def loop(attempt: Attempt) -> Graph | int:
        executed.clear()  # the fake's own memory
        left = int(attempt.arguments)
        if left in (LINKS - 1_000, 0):
            gc.collect()
            objects[left] = len(gc.get_objects())
        return Graph((simulation.node("loop", arguments=left - 1),)) if left else 42

    submitter = FakeSubmitter({"loop": loop}, longest=1)
    executed = submitter.executed
    submission = Submission("chain", Graph((simulation.node("loop", arguments=LINKS),)), "token")
    opened = create(open_store(str(tmp_path)), submission)
    state = asyncio.run(run_workflow(opened, submitter, FakeClock(), ticks=10**6))
    assert state.status is WorkflowStatus.SUCCESSFUL
    assert len(state.tasks) == 2
    assert state.output.value is not None
    assert unstored(state.output.value) == 42
    assert objects[0] - objects[LINKS - 1_000] < 500


def hand_over(story: Story, task_id: str, *nodes: Node) -> list[str]:
    """``task_id`` continues as ``nodes``; what can start then."""
    story.end(task_id, Outcome("graph", graph=Graph(nodes)))
    return story.start()


def test_a_chain_of_continuations_resolves_to_its_last_value() -> None:
    story = Story(node("loop"), node("z", 0))
    task_id = story.start()[0]
    for _ in range(3_000):
        [task_id] = hand_over(story, task_id, node("loop"))
    story.end(task_id)
    assert story.state.tasks["loop"].value == VALUE
    assert story.start() == ["z"]
    assert fold(story.records).tasks.keys() == story.state.tasks.keys()


def test_a_long_chain_of_continuations_keeps_its_first_and_its_last_link() -> None:
    story = Story(node("loop"))
    [task_id] = story.start()
    for n in range(50):
        below = node("part"), node("loop", 0)
        assert hand_over(story, task_id, *below) == [f"part_{n}" if n else "part"]
        story.end(f"part_{n}" if n else "part")
        [task_id] = story.start()
    assert list(story.state.tasks) == ["loop", "part_49", "loop_50"]
    assert story.state.find("loop_20") is story.state.tasks["loop"]
    assert "loop_20" in story.state
    assert "part_20" in story.state
    assert story.state.find("part_20") is None  # done: its value is in the journal
    story.end(task_id)
    assert story.plan() == [planner.Finish(WorkflowStatus.SUCCESSFUL)]


def test_an_id_of_a_dropped_link_is_not_given_again() -> None:
    story = Story(node("loop"))
    story.start()
    hand_over(story, "loop", node("loop_2"))
    hand_over(story, "loop_2", node("loop"))
    assert hand_over(story, "loop_1", node("loop")) == ["loop_3"]


def test_an_error_at_the_end_of_a_chain_reaches_the_catcher_at_its_start() -> None:
    story = Story(node("top", catch_exceptions=True), node("z", 0))
    [task_id] = story.start()
    for _ in range(5):
        [task_id] = hand_over(story, task_id, node("link"))
    story.fail(task_id)
    assert story.state.tasks["top"].value == CAUGHT
    assert story.start() == ["z"]


@pytest.mark.parametrize("options", [{"catch_exceptions": True}, {"checkpoint": False}])
def test_a_link_that_differs_from_the_one_before_is_kept(options: dict[str, Any]) -> None:
    story = Story(node("top", catch_exceptions=False))
    story.start()
    hand_over(story, "top", node("odd", **options))
    hand_over(story, "odd", node("end"))
    assert list(story.state.tasks) == ["top", "odd", "end"]


def test_a_failed_link_of_a_chain_runs_again_when_the_workflow_is_resumed() -> None:
    story = Story(node("loop", max_retries=0))
    [task_id] = story.start()
    for _ in range(5):
        [task_id] = hand_over(story, task_id, node("loop", max_retries=0))
    story.fail(task_id)
    story.status(WorkflowStatus.FAILED, ERROR)
    assert failed_tasks(story.state) == [task_id]
    story.tell(Fact(Kind.RESUMED, data={"reset": [task_id]}))
    assert story.start() == [task_id]


def test_a_link_whose_graph_has_a_finally_task_is_kept_until_that_has_run() -> None:
    story = Story(node("top"))
    story.start()
    graph = Graph((node("link"), replace(node("clean"), finally_of=0)), finals=1)
    story.end("top", Outcome("graph", graph=graph))
    assert story.start() == ["link"]
    [task_id] = hand_over(story, "link", node("link"))
    [task_id] = hand_over(story, task_id, node("link"))
    assert list(story.state.tasks) == ["top", "link", "clean", "link_2"]
    story.end(task_id)
    assert story.start() == ["clean"]
    story.end("clean")
    assert story.plan() == [planner.Finish(WorkflowStatus.SUCCESSFUL)]
    assert fold(story.records).tasks.keys() == story.state.tasks.keys()


def test_a_finally_task_may_continue_as_a_chain() -> None:
    story = Story(node("top"), replace(node("clean"), finally_of=0))
    story.start()
    story.end("top")
    [task_id] = story.start()
    for _ in range(3):
        [task_id] = hand_over(story, task_id, node("clean"))
    story.end(task_id)
    assert story.state.tasks["clean"].value == VALUE
    assert story.plan() == [planner.Finish(WorkflowStatus.SUCCESSFUL)]


def test_a_value_is_lent_and_withdrawn_along_a_chain_whose_links_do_not_wait_for_storage() -> None:
    story = Story(node("top", checkpoint="async"), node("z", 0))
    [task_id] = story.start()
    for _ in range(20):
        [task_id] = hand_over(story, task_id, node("link"))
    assert list(story.state.tasks) == ["top", "z", "link_19"]
    # Its value is there, then its storing fails
    story.state.lend(task_id)
    assert story.start() == ["z"]
    story.fail(task_id, "lost")
    assert story.state.outdated == {"z"}
    story.state.settle("z")
    # It runs again
    assert story.start() == [task_id]
    story.state.lend(task_id)
    assert story.start() == ["z"]
    story.end(task_id)
    assert story.state.tasks["top"].value == VALUE
    story.end("z")
    assert story.plan() == [planner.Finish(WorkflowStatus.SUCCESSFUL)]
