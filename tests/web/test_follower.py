"""The follower and the projection: what the journals say is what the registry holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.forms.models import model_to_dict
from django.test.utils import CaptureQueriesContext

from tests.web.fake_gateway import START, FakeGateway
from workflows_app import projection
from workflows_app.folding import moment
from workflows_app.follower import Follower
from workflows_app.models import (
    FollowerState,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
)

pytestmark = pytest.mark.django_db(transaction=True)

ERROR = {"type": "ValueError", "message": "bad", "traceback": "Traceback …", "task_id": "fit"}


def begin(engine: FakeGateway, workflow_id: str = "w1", tasks: tuple[str, ...] = ("fit",)) -> None:
    """A workflow that runs, with pending tasks."""
    engine.write(
        workflow_id,
        "accepted",
        workflow_id=workflow_id,
        root=tasks[-1],
        definition="digits",
        params={"folds": 3},
        metadata={"team": "ml"},
        tags={"run": "1"},
        created_by="omar",
        task_count=len(tasks),
    )
    for task in tasks:
        engine.write(
            workflow_id,
            "task",
            task,
            name=task.split("_")[0],
            upstream=[],
            parent=None,
            metadata={"m": 1},
            options={"max_retries": 3},
        )
    engine.write(workflow_id, "status", status="RUNNING")


def counters(workflow_id: str = "w1") -> dict[str, int]:
    """The workflow's task counters, checked against the tasks themselves."""
    workflow = Workflow.objects.get(workflow_id=workflow_id)
    names = ("pending", "running", "successful", "failed", "canceled")
    found = {name: int(getattr(workflow, f"tasks_{name}")) for name in names}
    for name in names:
        assert workflow.tasks.filter(status=name.upper()).count() == found[name]
    assert workflow.tasks_total == sum(found.values())
    return {name: n for name, n in found.items() if n}


def rows() -> dict[str, Any]:
    """All projected rows, without their database ids."""

    def of(row: Any, **more: Any) -> dict[str, Any]:
        fields = model_to_dict(row)
        for key in ("id", "workflow", "task"):
            fields.pop(key, None)
        return {**fields, **more}

    return {
        "workflows": [of(row) for row in Workflow.objects.order_by("workflow_id")],
        "tasks": [
            of(row, of=row.workflow.workflow_id)
            for row in Task.objects.order_by("workflow__workflow_id", "id")
        ],
        "attempts": [
            of(row, of=row.task.task_id)
            for row in TaskAttempt.objects.order_by(
                "task__workflow__workflow_id", "task_id", "number"
            )
        ],
        "events": [
            of(row, of=row.workflow.workflow_id)
            for row in WorkflowEvent.objects.order_by("workflow__workflow_id", "seq")
        ],
    }


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

    def die(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT") and WorkflowEvent._meta.db_table in sql:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    with connection.execute_wrapper(die):
        yield


def test_a_long_journal_is_taken_in_page_by_page(engine: FakeGateway, follower: Follower) -> None:
    engine.page_size = 7
    begin(engine, tasks=tuple(f"fit_{n}" for n in range(40)))
    for n in range(40):
        engine.write("w1", "succeeded", f"fit_{n}", 1)
    follower.step(0)
    assert counters() == {"successful": 40}


def test_a_rebuild_gives_identical_rows(engine: FakeGateway, follower: Follower) -> None:
    engine.page_size = 3
    for workflow_id in ("w1", "w2"):
        begin(engine, workflow_id, tasks=("a", "b"))
        engine.write(workflow_id, "started", "a", 1)
        follower.step(0)
        engine.write(workflow_id, "sealed", epochs={})
        engine.write(workflow_id, "succeeded", "a", 2, preview={"type": "int"})
        engine.write(workflow_id, "failed", "b", 1, error=ERROR, cause="system", next="final")
        engine.write(workflow_id, "status", status="FAILED", error=ERROR)
        follower.step(0)
    before = rows()
    engine.page_size = 10_000
    call_command("rebuild_registry", verbosity=0)
    assert rows() == before


def test_a_gap_in_the_sequence_has_the_journal_read_again_from_the_start(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, tasks=("a", "b"))
    follower.step(0)
    # The position points behind a record that was never stored.
    engine.write("w1", "started", "a", 1)
    engine.write("w1", "succeeded", "a", 1)
    Workflow.objects.update(position="5")
    follower.step(0)
    assert counters() == {"successful": 1, "pending": 1}
    assert list(WorkflowEvent.objects.values_list("seq", flat=True)) == [1, 2, 3, 4, 5, 6]


def test_workflows_started_while_nobody_followed_are_found(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "w1")
    engine.news.clear()
    follower.step(0)
    assert Workflow.objects.get().workflow_id == "w1"


def test_workflows_deleted_while_nobody_followed_disappear_with_their_rows(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "w1")
    begin(engine, "w2")
    engine.write("w1", "started", "fit", 1)
    follower.step(0)
    del engine.journals["w1"]
    follower.reconcile()
    assert list(Workflow.objects.values_list("workflow_id", flat=True)) == ["w2"]
    assert not TaskAttempt.objects.exists()
    assert set(WorkflowEvent.objects.values_list("workflow__workflow_id", flat=True)) == {"w2"}


def test_a_deletion_in_the_news_removes_the_row_at_once(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "w1")
    follower.step(0)
    engine.delete("w1")
    follower.step(0)
    assert not Workflow.objects.exists()


def test_an_id_that_was_deleted_and_given_away_again_shows_the_new_workflow(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "w1", tasks=("old",))
    follower.step(0)
    journal = engine.journals.pop("w1")
    begin(engine, "w1", tasks=("new", "newer"))
    later = [
        type(r)(r.seq, r.time + 500, r.kind, r.task_id, r.attempt, r.data)
        for r in engine.journals["w1"]
    ]
    engine.journals["w1"] = later
    assert journal != later
    engine.news.clear()
    follower.reconcile()
    assert set(Task.objects.values_list("task_id", flat=True)) == {"new", "newer"}


def test_a_running_workflow_without_an_owner_is_shown_as_resumable_until_one_comes(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "w1")
    _backdate(engine, "w1")
    follower.step(0)
    engine.orphans.add("w1")
    follower.reconcile()
    assert Workflow.objects.get().status == "RESUMABLE"
    engine.orphans.clear()
    follower.reconcile()
    assert Workflow.objects.get().status == "RUNNING"


def _backdate(engine: FakeGateway, workflow_id: str) -> None:
    """Move a journal into the past: the comparison trusts only rows older than its look."""
    engine.journals[workflow_id] = [
        type(r)(r.seq, r.time - 300_000_000, r.kind, r.task_id, r.attempt, r.data)
        for r in engine.journals[workflow_id]
    ]


def test_without_an_engine_the_registry_still_follows_the_storage(
    engine: FakeGateway, follower: Follower
) -> None:
    engine.is_down = True
    begin(engine, "w1")
    assert follower.step(0) is False
    assert Workflow.objects.get().status == "RUNNING"
    state = FollowerState.objects.get()
    assert (state.engine_reachable, state.detail) == (False, "The engine did not answer.")
    engine.is_down = False
    assert follower.step(0) is True
    assert FollowerState.objects.get().engine_reachable is True


def test_a_damaged_journal_gets_a_visible_error_and_the_others_go_on(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "bad")
    begin(engine, "good")
    engine.corrupt.add("bad")
    follower.step(0)
    bad = Workflow.objects.get(workflow_id="bad")
    assert "damaged" in bad.journal_problem
    assert bad.error is not None
    assert bad.error["type"] == "JournalProblem"
    assert counters("good") == {"pending": 1}
    # When the file has been restored, the next comparison heals the row.
    engine.corrupt.clear()
    follower.reconcile()
    bad.refresh_from_db()
    assert (bad.journal_problem, bad.error) == ("", None)
    assert counters("bad") == {"pending": 1}


def test_a_record_that_makes_no_sense_stops_its_own_workflow_only(
    engine: FakeGateway, follower: Follower
) -> None:
    begin(engine, "bad")
    engine.write("bad", "succeeded", "never-declared", 1)
    begin(engine, "good")
    follower.step(0)
    bad = Workflow.objects.get(workflow_id="bad")
    assert "unknown task 'never-declared'" in bad.journal_problem
    assert counters("good") == {"pending": 1}


def test_a_batch_of_many_workflows_takes_few_statements(
    engine: FakeGateway, follower: Follower
) -> None:
    for n in range(5):
        begin(engine, f"w{n}")
    few = _statements(follower)
    for n in range(5, 105):
        begin(engine, f"w{n}")
    many = _statements(follower)
    assert Workflow.objects.count() == 105
    # Larger batches may need a statement more per table, not one per workflow.
    assert many <= few + 30


def _statements(follower: Follower) -> int:
    with CaptureQueriesContext(connection) as captured:
        follower.step(0)
    return len(captured)
