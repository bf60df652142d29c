"""Bulk operations: any selection, each workflow once, whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tests.web.fake_gateway import FakeGateway
from tests.web.worker import deliver, lose_everything, refuse
from workflows_app import services
from workflows_app.models import (
    BulkItem,
    BulkOperation,
    Command,
    Workflow,
)
from workflows_app.problems import Conflict, Invalid

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]


def test_select_all_freezes_the_query_and_skips_what_does_not_fit(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    for n in range(5):
        make_workflow(f"r{n}", "RESUMABLE")
    make_workflow("f", "FAILED")
    make_workflow("s", "SUCCESSFUL")
    make_workflow("p", "RESUMABLE")
    Workflow.objects.filter(workflow_id="p").update(pending_command="delete")
    bulk = services.request_bulk(operator, "resume", queryset=Workflow.objects.all())
    assert bulk.total == 8
    deliver()
    bulk.refresh_from_db()
    assert (bulk.state, bulk.done, bulk.skipped, bulk.failed) == ("SUCCEEDED", 5, 3, 0)
    skipped = dict(BulkItem.objects.filter(state="skipped").values_list("workflow_id", "detail"))
    assert skipped.keys() == {"f", "s", "p"}
    assert "only RESUMABLE workflows were asked for" in skipped["f"]
    assert "it is SUCCESSFUL" in skipped["s"]
    assert "a delete of it is under way" in skipped["p"]
    assert sorted(engine.calls) == [("resume", f"r{n}") for n in range(5)]


def test_resume_including_failed_resumes_the_failed_too(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("f", "FAILED")
    make_workflow("r", "RESUMABLE")
    services.request_bulk(operator, "resume", queryset=Workflow.objects.all(), include_failed=True)
    deliver()
    assert sorted(engine.calls) == [("resume", "f"), ("resume", "r")]


def test_a_query_with_a_filter_order_and_joins_is_frozen_as_it_is(
    operator: User, make_workflow: Callable[..., Workflow]
) -> None:
    make_workflow("a", "RESUMABLE")
    make_workflow("b", "FAILED")
    query = (
        Workflow.objects.filter(status="RESUMABLE", workflow_id__contains="a")
        .filter(events__kind__in=["accepted", "status"])
        .order_by("-created_at")
    )
    bulk = services.request_bulk(operator, "resume", queryset=query)
    assert list(bulk.items.values_list("workflow_id", flat=True)) == ["a"]


def test_ids_that_do_not_exist_are_skipped_with_a_reason(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("a", "RUNNING")
    bulk = services.request_bulk(operator, "cancel", ids=["a", "ghost", "a"])
    deliver()
    bulk.refresh_from_db()
    assert (bulk.total, bulk.done, bulk.skipped) == (2, 1, 1)
    assert BulkItem.objects.get(workflow_id="ghost").detail == "there is no such workflow any more"


@pytest.mark.parametrize("selection", [{}, {"ids": []}, {"queryset": Workflow.objects.none()}])
def test_an_empty_selection_isrefused(operator: User, selection: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        services.request_bulk(operator, "cancel", **selection)
    assert not BulkOperation.objects.exists()


def test_a_bulk_operation_of_many_chunks_survives_a_worker_that_dies_in_the_middle(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    for n in range(230):
        make_workflow(f"w{n:03}", "RUNNING")
    bulk = services.request_bulk(operator, "cancel", queryset=Workflow.objects.all())
    # The first chunk is sent; the worker carries out some commands and dies inside of one, and
    # Redis loses what was queued.
    services.advance_bulk(bulk.id)
    first = list(Command.objects.filter(bulk=bulk).order_by("created_at")[:10])
    for command in first[:9]:
        services.run_commands([command.id])
    Command.objects.filter(id=first[9].id).update(state="RUNNING", attempts=1)
    lose_everything()
    earlier = timezone.now() - timedelta(minutes=5)
    BulkOperation.objects.update(created_at=earlier)
    Command.objects.update(not_before=earlier)
    Command.objects.filter(state="RUNNING").update(started_at=earlier)
    services.sweep()
    deliver()
    bulk.refresh_from_db()
    assert (bulk.state, bulk.done, bulk.failed, bulk.skipped) == ("SUCCEEDED", 230, 0, 0)
    assert sorted(engine.calls) == [("cancel", f"w{n:03}") for n in range(230)]


def test_a_lost_request_for_the_next_chunk_is_made_by_the_sweep(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("w1", "RUNNING")
    bulk = services.request_bulk(operator, "cancel", queryset=Workflow.objects.all())
    lose_everything()
    BulkOperation.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    services.sweep()
    deliver()
    bulk.refresh_from_db()
    assert bulk.state == "SUCCEEDED"


def test_a_chunk_delivered_twice_sends_each_command_once(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("w1", "RUNNING")
    bulk = services.request_bulk(operator, "cancel", queryset=Workflow.objects.all())
    services.advance_bulk(bulk.id)
    services.advance_bulk(bulk.id)
    assert Command.objects.count() == 1
    deliver()
    services.advance_bulk(bulk.id)
    bulk.refresh_from_db()
    assert (bulk.state, bulk.done) == ("SUCCEEDED", 1)


def test_failures_of_single_items_make_the_operation_partial(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("a", "RESUMABLE")
    make_workflow("b", "RESUMABLE")
    real_resume = engine.resume
    engine.resume = (  # type: ignore[method-assign]
        lambda workflow_id: refuse(workflow_id) if workflow_id == "a" else real_resume(workflow_id)
    )
    bulk = services.request_bulk(operator, "resume", queryset=Workflow.objects.all())
    deliver()
    bulk.refresh_from_db()
    assert (bulk.state, bulk.done, bulk.failed) == ("PARTIAL", 1, 1)
    assert BulkItem.objects.get(workflow_id="a").detail == "Checkpoints are missing."


def test_an_aborted_operation_sends_nothing_more(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("w1", "RUNNING")
    bulk = services.request_bulk(operator, "cancel", queryset=Workflow.objects.all())
    services.abort_bulk(operator, bulk)
    deliver()
    bulk.refresh_from_db()
    assert (bulk.state, bulk.skipped, engine.calls) == ("ABORTED", 1, [])
    with pytest.raises(Conflict):
        services.abort_bulk(operator, bulk)


def test_items_are_skipped_when_the_account_has_lost_the_permission_meanwhile(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    make_workflow("w1", "RUNNING")
    bulk = services.request_bulk(operator, "cancel", queryset=Workflow.objects.all())
    operator.groups.clear()
    deliver()
    assert BulkItem.objects.get().detail == "the account may no longer cancel workflows"
    bulk.refresh_from_db()
    assert (bulk.state, engine.calls) == ("SUCCEEDED", [])
