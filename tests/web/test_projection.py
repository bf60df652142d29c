"""The projection: what each kind of record does to the rows, and each record exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from tests.web.fake_gateway import START, FakeGateway
from tests.web.stories import ERROR, begin, counters, rows
from workflows_app import bulk_rows, projection
from workflows_app.folding import moment
from workflows_app.follower import Follower
from workflows_app.models import (
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("counts_agree")]


def test_an_accepted_workflow_appears_with_everything_its_first_records_say(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, tasks=("fit_1", "fit_2", "best"))
    follower.step(0)
    workflow = Workflow.objects.get(workflow_id="w1")
    assert (workflow.status, workflow.definition, workflow.created_by) == (
        "RUNNING",
        "digits",
        "omar",
    )
    assert (workflow.params, workflow.user_metadata, workflow.tags) == (
        {"folds": 3},
        {"team": "ml"},
        {"run": "1"},
    )
    assert workflow.root_task_id == "best"
    assert workflow.created_at == moment(START + 1)
    assert workflow.started_at == moment(START + 5)
    assert workflow.event_seq == 5
    assert counters() == {"pending": 3}
    task = workflow.tasks.get(task_id="fit_1")
    assert (task.name, task.metadata, task.options) == ("fit", {"m": 1}, {"max_retries": 3})


def test_a_task_is_followed_from_its_start_to_its_value(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "started", "fit", 1)
    follower.step(0)
    assert counters() == {"running": 1}
    preview = {"type": "float", "size": 8, "json": 0.9}
    engine.write(
        "w1",
        "succeeded",
        "fit",
        1,
        value={"key": None},
        preview=preview,
        started_at=START + 4.5,
        finished_at=START + 6,
        node="n1",
        pid=42,
        caught=False,
    )
    engine.write("w1", "status", status="SUCCESSFUL", output=preview)
    follower.step(0)
    task = Task.objects.get(task_id="fit")
    assert (task.status, task.preview, task.node, task.pid) == ("SUCCESSFUL", preview, "n1", 42)
    assert task.duration_ms == 1500
    attempt = TaskAttempt.objects.get(task=task)
    assert (attempt.number, attempt.status) == (1, "SUCCESSFUL")
    workflow = Workflow.objects.get()
    assert (workflow.status, workflow.output_preview) == ("SUCCESSFUL", preview)
    assert workflow.duration_ms == 3000
    assert counters() == {"successful": 1}


def test_a_task_may_succeed_without_a_record_of_its_start(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "succeeded", "fit", 1, started_at=START, finished_at=START + 1)
    follower.step(0)
    assert TaskAttempt.objects.get().status == "SUCCESSFUL"


@pytest.mark.parametrize(
    ("kind", "data", "left"),
    [
        ("succeeded", {}, "SUCCESSFUL"),
        ("failed", {"error": ERROR, "next": "retry"}, "PENDING"),
        ("failed", {"error": ERROR, "next": "final"}, "FAILED"),
        ("task_canceled", {}, "CANCELED"),
    ],
)
def test_a_start_noted_after_the_outcome_changes_nothing(
    engine: FakeGateway, follower: Follower, kind: str, data: dict[str, Any], left: str
) -> None:
    begin(engine)
    if kind == "task_canceled":
        engine.write("w1", "started", "fit", 1)
    engine.write("w1", kind, "fit", 1, **data)
    engine.write("w1", "started", "fit", 1)
    follower.step(0)
    assert counters() == {left.lower(): 1}
    assert TaskAttempt.objects.get().status == {"PENDING": "FAILED"}.get(left, left)
    if left == "PENDING":
        engine.write("w1", "started", "fit", 2)
        follower.step(0)
        assert counters() == {"running": 1}


def test_a_failure_that_is_retried_leaves_its_attempt_and_a_pending_task(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "started", "fit", 1)
    engine.write(
        "w1",
        "failed",
        "fit",
        1,
        error=ERROR,
        cause="application",
        next="retry",
        started_at=START + 4,
        finished_at=START + 5,
    )
    follower.step(0)
    assert counters() == {"pending": 1}
    first = TaskAttempt.objects.get(number=1)
    assert (first.status, first.cause, first.error) == ("FAILED", "application", ERROR)
    engine.write("w1", "started", "fit", 2)
    engine.write(
        "w1",
        "failed",
        "fit",
        2,
        error=ERROR,
        cause="system",
        next="final",
        started_at=START + 6,
        finished_at=START + 7,
    )
    engine.write("w1", "status", status="FAILED", error=ERROR)
    follower.step(0)
    assert counters() == {"failed": 1}
    workflow = Workflow.objects.get()
    assert (workflow.status, workflow.error) == ("FAILED", ERROR)
    assert list(TaskAttempt.objects.values_list("number", "cause")) == [
        (1, "application"),
        (2, "system"),
    ]


def test_a_task_that_hands_over_ends_when_the_last_of_its_replacements_ends(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, tasks=("a",))
    for parent, child in (("a", "b"), ("b", "c")):
        engine.write("w1", "started", parent, 1)
        engine.write("w1", "task", child, name=child, upstream=[], parent=parent)
        engine.write("w1", "continued", parent, 1, root=child, started_at=START, finished_at=START)
        follower.step(0)
    assert counters() == {"running": 2, "pending": 1}
    assert Task.objects.get(task_id="a").replaced_by == "b"
    engine.write("w1", "succeeded", "c", 1, preview={"type": "int"})
    follower.step(0)
    assert counters() == {"successful": 3}
    assert Task.objects.get(task_id="a").preview == {"type": "int"}


def test_a_failed_replacement_fails_its_origin_and_a_resume_sets_both_going_again(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, tasks=("a",))
    engine.write("w1", "task", "b", name="b", upstream=[], parent="a")
    engine.write("w1", "continued", "a", 1, root="b")
    engine.write("w1", "failed", "b", 1, error=ERROR, cause="application", next="final")
    engine.write("w1", "status", status="FAILED", error=ERROR)
    follower.step(0)
    assert counters() == {"failed": 2}
    engine.write("w1", "resumed", reset=["b"])
    follower.step(0)
    assert counters() == {"running": 1, "pending": 1}
    workflow = Workflow.objects.get()
    assert (workflow.status, workflow.error, workflow.finished_at) == ("RUNNING", None, None)


def test_a_change_of_ownership_voids_running_attempts_but_not_hand_overs(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, tasks=("a", "c"))
    engine.write("w1", "task", "b", name="b", upstream=[], parent="a")
    engine.write("w1", "continued", "a", 1, root="b")
    engine.write("w1", "started", "c", 1)
    follower.step(0)
    engine.write("w1", "sealed", epochs={"1": 3})
    follower.step(0)
    assert dict(Task.objects.values_list("task_id", "status")) == {
        "a": "RUNNING",
        "b": "PENDING",
        "c": "PENDING",
    }
    lost = TaskAttempt.objects.get(task__task_id="c")
    assert (lost.status, lost.cause) == ("FAILED", "lost")


def test_a_canceled_workflow_has_no_open_task(engine: FakeGateway, follower: Follower) -> None:
    begin(engine, tasks=("a", "b", "c"))
    engine.write("w1", "started", "a", 1)
    engine.write("w1", "started", "b", 1)
    engine.write("w1", "cancel_requested")
    engine.write("w1", "task_canceled", "a", 1, reason="canceled")
    engine.write("w1", "status", status="CANCELED")
    follower.step(0)
    assert counters() == {"canceled": 3}
    assert set(TaskAttempt.objects.values_list("status", flat=True)) == {"CANCELED"}


def test_a_suspended_workflow_is_resumable_and_nothing_of_it_runs(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "started", "fit", 1)
    engine.write("w1", "suspend_requested")
    engine.write("w1", "status", status="RESUMABLE", reason="suspended", error=None)
    follower.step(0)
    workflow = Workflow.objects.get()
    assert workflow.status == "RESUMABLE"
    assert workflow.error == {"type": "Interrupted", "message": "suspended"}
    assert counters() == {"pending": 1}
    assert TaskAttempt.objects.get().status == "CANCELED"


def test_a_workflow_out_of_time_has_failed_and_nothing_of_it_runs(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "started", "fit", 1)
    engine.write("w1", "timed_out")
    engine.write("w1", "heartbeat", "fit", 1, details={"row": 3})
    error = {**ERROR, "type": "rayflow.errors.WorkflowTimeoutError", "task_id": None}
    engine.write("w1", "status", status="FAILED", reason=None, error=error)
    follower.step(0)
    workflow = Workflow.objects.get()
    assert (workflow.status, workflow.error) == ("FAILED", error)
    assert counters() == {"pending": 1}
    assert TaskAttempt.objects.get().status == "CANCELED"
    assert WorkflowEvent.objects.get(kind="heartbeat").data == {"details": {"row": 3}}


def test_an_attempt_that_ran_out_of_time_says_so(engine: FakeGateway, follower: Follower) -> None:
    begin(engine)
    engine.write("w1", "started", "fit", 1)
    error = {**ERROR, "type": "rayflow.errors.TaskTimeoutError"}
    engine.write("w1", "failed", "fit", 1, error=error, cause="timeout", next="retry")
    follower.step(0)
    attempt = TaskAttempt.objects.get()
    assert (attempt.status, attempt.cause, attempt.error) == ("FAILED", "timeout", error)
    assert counters() == {"pending": 1}


def test_a_kind_of_record_from_a_newer_version_is_kept_as_an_event(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "teleported", "fit", where="mars")
    follower.step(0)
    event = WorkflowEvent.objects.get(kind="teleported")
    assert (event.task_id, event.data, event.seq) == ("fit", {"where": "mars"}, 4)


def test_odd_values_from_user_code_do_not_stop_the_follower(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write(
        "w1",
        "failed",
        "fit",
        1,
        next="final",
        cause="application",
        error={"type": "E", "message": "nul \x00 nan", "traceback": "x" * 200_000},
    )
    engine.write("w1", "status", status="FAILED", error={"type": "E", "v": float("nan")})
    follower.step(0)
    assert Workflow.objects.get().error == {"type": "E", "v": "nan"}
    event = WorkflowEvent.objects.get(kind="failed")
    assert event.data["truncated"] is True
    assert event.data["left_out"] == ["error"]


def test_records_that_are_delivered_again_change_nothing(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "succeeded", "fit", 1)
    follower.step(0)
    before = rows()
    page = engine.records("w1", None)
    projection.apply({"w1": page})
    Follower(engine).step(0)
    assert rows() == before


def test_a_crash_in_the_middle_of_a_batch_leaves_nothing_of_it(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "w1")
    begin(engine, "w2")
    with _dying_before_events(), pytest.raises(KeyboardInterrupt):
        follower.step(0)
    assert not Workflow.objects.exists()
    Follower(engine).step(0)
    assert counters("w1") == counters("w2") == {"pending": 1}
    assert WorkflowEvent.objects.count() == 6


@contextmanager
def _dying_before_events() -> Iterator[None]:
    """Have the process "die" when the last table of a batch is about to be written."""
    with patch.object(bulk_rows, "insert", side_effect=KeyboardInterrupt):
        yield


def test_an_actor_shows_the_state_that_its_last_method_has_left(
    engine: FakeGateway, follower: Follower
) -> None:
    def left(count: int) -> dict[str, Any]:
        state = {"format": "pickle", "size": 9, "crc": 1, "key": None}
        return {**state, "preview": {"type": "dict", "json": {"count": count}}}

    about = {"workflow_id": "a1", "root": "C.__init__", "metadata": {}, "tags": {}}
    engine.write("a1", "accepted", **about, actor={"name": "shop.C", "replays": False})
    for task in ("C.__init__", "C.incr"):
        engine.write("a1", "task", task, name=task, upstream=[], parent=None, method="x", call=task)
    engine.write("a1", "status", status="RUNNING")
    engine.write("a1", "succeeded", "C.__init__", 1, preview=None, state=left(0))
    follower.step(0)
    actor = Workflow.objects.get(workflow_id="a1")
    assert (actor.actor, actor.output_preview["json"]) == ("shop.C", {"count": 0})
    engine.write("a1", "continued", "C.incr", 1, root="step", state=left(1))
    engine.write("a1", "status", status="SUCCESSFUL", output=None)
    follower.step(0)
    actor.refresh_from_db()
    assert (actor.status, actor.output_preview["json"]) == ("SUCCESSFUL", {"count": 1})


def test_a_failed_call_leaves_the_state_and_the_actor_as_they_are(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine)
    engine.write("w1", "failed", "fit", 1, error=ERROR, cause="application", next="call")
    follower.step(0)
    assert counters() == {"failed": 1}
    assert Workflow.objects.get(workflow_id="w1").status == "RUNNING"
