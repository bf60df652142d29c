"""The follower: it reads on, compares with the index, heals, and stops for no journal."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.web.fake_gateway import FakeGateway
from tests.web.stories import ERROR, begin, counters, rows
from workflows_app.follower import Follower
from workflows_app.models import (
    FollowerState,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("counts_agree")]


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
