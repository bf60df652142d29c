"""Asking for commands on pages: one workflow, many workflows, and what the pages say meanwhile."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import check_markup, signed_in, text_of
from workflows_app import services
from workflows_app.models import AuditEntry, BulkOperation, BulkState, Command, Workflow
from workflows_app.services import advance_bulk, run_commands

pytestmark = pytest.mark.django_db

NEW = "/bulk/new/"


@pytest.mark.parametrize(
    ("verb", "status", "target"),
    [
        ("cancel", "RUNNING", "/workflows/wf/"),
        ("resume", "FAILED", "/workflows/wf/"),
        ("delete", "SUCCESSFUL", "/workflows/"),
    ],
)
def test_a_command_is_asked_for_and_shown_as_requested(
    verb: str, status: str, target: str, administrator: User
) -> None:
    factories.workflow("wf", status)
    client = signed_in(administrator)
    question = text_of(client.get(f"/workflows/wf/actions/{verb}/"))
    assert f"{verb.capitalize()} this workflow?" in question
    response = client.post(f"/workflows/wf/actions/{verb}/", {"reason": "wrong data"})
    assert response.status_code == 302
    assert response.headers["Location"] == target
    assert Command.objects.get().kind == verb
    assert AuditEntry.objects.get(verb=verb).detail["reason"] == "wrong data"
    page = text_of(client.get(target))
    assert f"{verb.capitalize()} requested for wf." in page
    assert f"{verb} requested" in page.lower()
    assert Workflow.objects.get().status == status


@pytest.mark.parametrize(
    ("verb", "status"), [("cancel", "SUCCESSFUL"), ("resume", "RUNNING"), ("delete", "RUNNING")]
)
def test_what_is_not_possible_now_is_refused_with_the_reason(
    verb: str, status: str, administrator: User
) -> None:
    factories.workflow("wf", status)
    client = signed_in(administrator)
    address = f"/workflows/wf/actions/{verb}/"
    assert "not possible now" in text_of(client.get(address))
    response = client.post(address, follow=True)
    assert f"it is {status}" in text_of(response)
    assert not Command.objects.exists()


def test_the_question_comes_alone_for_the_dialog(administrator: User) -> None:
    factories.workflow("wf", "FAILED", tasks_successful=4, tasks_failed=1)
    response = signed_in(administrator).get(
        "/workflows/wf/actions/resume/", headers={"HX-Request": "true"}
    )
    text = text_of(response)
    assert "<html" not in text
    assert "4 finished, reused" in text
    check_markup(text)


def pick(*workflows: Workflow) -> dict[str, list[str]]:
    """The ticked boxes of the list."""
    return {"w": [str(workflow.pk) for workflow in workflows]}


def test_ticked_workflows_are_resumed_together(operator: User, engine: FakeGateway) -> None:
    failed = [factories.workflow(f"broken-{n}", "FAILED") for n in range(2)]
    running = factories.workflow("at-work", "RUNNING")
    for workflow in (*failed, running):
        engine.write(workflow.workflow_id, "status", status=workflow.status)
    client = signed_in(operator)
    question = text_of(client.get(NEW, {"kind": "resume", **pick(*failed, running)}))
    assert "Resume 3 workflows?" in question
    assert "2 of them can be resumed" in question
    response = client.post(NEW, {"kind": "resume", "reason": "net", **pick(*failed, running)})
    bulk = BulkOperation.objects.get()
    assert response.headers["Location"] == f"/bulk/{bulk.id}/"
    advance_bulk(bulk.id)
    for command in Command.objects.all():
        run_commands([command.id])
    text = text_of(client.get(f"/bulk/{bulk.id}/"))
    assert "Resume 3 workflows" in text
    assert "2 done" in text
    assert "1 skipped" in text
    assert "only a FAILED or RESUMABLE workflow can be resumed" in text
    skipped = text_of(client.get(f"/bulk/{bulk.id}/?state=skipped"))
    assert "at-work" in skipped
    assert "broken-0" not in skipped


def test_everything_that_matches_the_filter_is_selected_without_ticking(operator: User) -> None:
    for number in range(30):
        factories.workflow(f"census-{number}", "FAILED" if number % 2 else "SUCCESSFUL")
    data = {"kind": "resume", "everything": "1", "status": "FAILED", "q": "census"}
    client = signed_in(operator)
    assert "Resume 15 workflows?" in text_of(client.get(NEW, data))
    client.post(NEW, data)
    bulk = BulkOperation.objects.get()
    assert bulk.total == 15
    assert set(bulk.items.values_list("workflow_id", flat=True)) == {
        f"census-{number}" for number in range(1, 30, 2)
    }


def test_deleting_many_needs_the_number_typed(administrator: User) -> None:
    chosen = [factories.workflow(f"wf-{n}") for n in range(3)]
    client = signed_in(administrator)
    question = text_of(client.get(NEW, {"kind": "delete", **pick(*chosen)}))
    assert 'data-number="3"' in question
    for typed in ("", "2", "three"):
        response = client.post(NEW, {"kind": "delete", "number": typed, **pick(*chosen)})
        assert response.status_code == 400
    assert not BulkOperation.objects.exists()
    response = client.post(NEW, {"kind": "delete", "number": "3", **pick(*chosen)})
    assert response.status_code == 302
    assert BulkOperation.objects.get().total == 3


@pytest.mark.parametrize(
    "data", [{"kind": "resume"}, {"kind": "resume", "w": "999999"}, {"kind": "explode"}, {}]
)
def test_an_empty_selection_does_nothing(data: dict[str, str], operator: User) -> None:
    factories.workflow("wf", "FAILED")
    client = signed_in(operator)
    assert client.get(NEW, data).status_code == 400
    assert client.post(NEW, data).status_code == 400
    assert not BulkOperation.objects.exists()


def test_an_operator_may_not_delete_many(operator: User) -> None:
    chosen = factories.workflow("wf")
    response = signed_in(operator).get(NEW, {"kind": "delete", **pick(chosen)})
    assert response.status_code == 403
    assert "delete_workflow" in text_of(response)


def test_a_bulk_operation_is_paused_and_continued_from_its_page(operator: User) -> None:
    factories.workflow("w", "FAILED")
    bulk = services.request_bulk(operator, "resume", queryset=Workflow.objects.all())
    client = signed_in(operator)
    page = f"/bulk/{bulk.id}/"
    assert "Pause" in text_of(client.get(page))
    text = text_of(client.post(page + "actions/pause/", follow=True))
    assert "Paused: what has been sent goes on" in text
    assert "Continue" in text
    assert "It goes on." in text_of(client.post(page + "actions/unpause/", follow=True))
    again = text_of(client.post(page + "actions/retry-failed/", follow=True))
    assert "retry failed is possible while it is" in again
    assert client.post(page + "actions/explode/").status_code == 404


def test_an_open_bulk_operation_can_be_aborted(operator: User) -> None:
    chosen = factories.workflow("wf", "FAILED")
    client = signed_in(operator)
    client.post(NEW, {"kind": "resume", **pick(chosen)})
    bulk = BulkOperation.objects.get()
    assert "data-watch" in text_of(client.get(f"/bulk/{bulk.id}/"))
    text = text_of(client.post(f"/bulk/{bulk.id}/actions/abort/", follow=True))
    assert "Aborted" in text
    assert "data-watch" not in text
    assert BulkOperation.objects.get().state == BulkState.ABORTED
    again = text_of(client.post(f"/bulk/{bulk.id}/actions/abort/", follow=True))
    assert "abort is possible while it is" in again
