"""The Django admin: bulk actions on any selection, and nothing else that could change a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from workflows_app import services, tokens
from workflows_app.models import (
    ApiToken,
    AuditEntry,
    BulkItem,
    BulkOperation,
    Command,
    Definition,
    FollowerState,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/workflows_app/workflow/"
OURS = (ApiToken, AuditEntry, BulkOperation, Command, Definition, FollowerState, Task, TaskAttempt,
        Workflow, WorkflowEvent)  # fmt: skip


@pytest.fixture
def page(administrator: User) -> Client:
    """A browser in which the administrator has signed in."""
    client = Client()
    client.force_login(administrator)
    return client


@pytest.fixture
def make(db: None) -> Callable[..., list[Workflow]]:
    """Make many workflows with one status."""

    def make(count: int, status: str, **fields: Any) -> list[Workflow]:
        now = timezone.now()
        start = Workflow.objects.count()
        return Workflow.objects.bulk_create(
            Workflow(
                workflow_id=f"w{start + n:04}", status=status, created_at=now, changed_at=now,
                **fields,
            )
            for n in range(count)
        )  # fmt: skip

    return make


def act(page: Client, action: str, rows: list[Workflow], *, query: str = "", **more: str) -> Any:
    """Post the list's action form."""
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return page.post(LIST + query, data)


def test_resume_asks_first_and_shows_what_will_be_skipped(
    page: Client, make: Callable[..., list[Workflow]]
) -> None:
    rows = make(2, "RESUMABLE") + make(1, "FAILED") + make(1, "RUNNING")
    answer = act(page, "resume", rows)
    assert answer.status_code == 200
    assert not BulkOperation.objects.exists()
    text = answer.content.decode()
    assert "2 of 4 selected workflows" in text
    assert "only RESUMABLE workflows were asked for" in text
    assert "it is RUNNING" in text


def test_a_confirmed_action_becomes_a_bulk_operation_and_leads_to_its_page(
    page: Client, make: Callable[..., list[Workflow]], administrator: User
) -> None:
    rows = make(3, "FAILED")
    answer = act(page, "resume_failed", rows[:2], confirmed="1", reason="fixed")
    bulk = BulkOperation.objects.get()
    assert answer.status_code == 302
    assert answer.url.endswith(f"/bulkoperation/{bulk.id}/change/")
    assert (bulk.kind, bulk.total, bulk.reason) == ("resume", 2, "fixed")
    assert bulk.selection["include_failed"] is True
    assert set(bulk.items.values_list("workflow_id", flat=True)) == {
        rows[0].workflow_id, rows[1].workflow_id}  # fmt: skip
    assert LogEntry.objects.get().user == administrator
    assert AuditEntry.objects.get(verb="bulk resume").actor == "ada"
    assert page.get(answer.url).status_code == 200


def test_select_all_takes_the_whole_filtered_query_and_not_the_page(
    page: Client, make: Callable[..., list[Workflow]]
) -> None:
    make(150, "RUNNING")
    make(30, "SUCCESSFUL")
    first = list(Workflow.objects.filter(status="RUNNING")[:5])
    more = {"select_across": "1", "confirmed": "1", "number": "150", "reason": "stop"}
    with CaptureQueriesContext(connection) as captured:
        act(page, "cancel", first, query="?status__exact=RUNNING", **more)
    assert BulkOperation.objects.get().total == 150
    assert BulkItem.objects.count() == 150
    # Session, account, permissions, counts, one INSERT ... SELECT: as many for a million rows.
    assert len(captured) <= 25


@pytest.mark.parametrize("number", ["", "2", "all"])
def test_deleting_needs_the_number_typed(
    page: Client, make: Callable[..., list[Workflow]], number: str
) -> None:
    rows = make(3, "SUCCESSFUL")
    answer = act(page, "delete_with_storage", rows, confirmed="1", reason="old", number=number)
    assert "Type 3" in answer.content.decode()
    assert not BulkOperation.objects.exists()
    assert act(
        page, "delete_with_storage", rows, confirmed="1", reason="old", number="3"
    ).status_code == 302  # fmt: skip
    assert BulkOperation.objects.get().kind == "delete"


def test_actions_are_offered_by_permission(
    make: Callable[..., list[Workflow]], viewer: User
) -> None:
    rows = make(1, "RUNNING")
    client = Client()
    viewer.is_staff = True
    viewer.save()
    client.force_login(viewer)
    assert client.get(LIST).context["action_form"] is None
    act(client, "cancel", rows, confirmed="1")
    assert not BulkOperation.objects.exists()
    viewer.groups.add(Group.objects.get(name="operator"))
    offered = dict(client.get(LIST).context["action_form"].fields["action"].choices)
    assert {"resume", "resume_failed", "cancel"} == offered.keys() - {""}


def test_the_built_in_delete_is_gone_and_nothing_can_be_edited(
    page: Client, make: Callable[..., list[Workflow]]
) -> None:
    (row,) = make(1, "SUCCESSFUL", params={"folds": 3})
    assert b"delete_selected" not in page.get(LIST).content
    assert page.get(f"{LIST}add/").status_code == 403
    assert page.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    detail = page.get(f"{LIST}{row.pk}/change/")
    assert b"&quot;folds&quot;: 3" in detail.content
    assert b'name="_save"' not in detail.content
    assert page.post(f"{LIST}{row.pk}/change/", {"status": "FAILED"}).status_code == 403
    assert Workflow.objects.get().status == "SUCCESSFUL"


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_list_and_detail_opens_and_no_row_of_the_engine_is_editable_even_by_a_superuser(
    model: Any, make: Callable[..., list[Workflow]], administrator: User
) -> None:
    row = _row_of(model, make, administrator)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    name = f"admin:workflows_app_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200
    assert client.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
    assert client.post(reverse(f"{name}_delete", args=[row.pk]), {}).status_code == 403


def _row_of(model: Any, make: Callable[..., list[Workflow]], user: User) -> Any:
    (workflow,) = make(1, "RUNNING", error={"type": "E", "message": "m"})
    task = Task.objects.create(workflow=workflow, task_id="t")
    TaskAttempt.objects.create(task=task, number=1)
    WorkflowEvent.objects.create(workflow=workflow, seq=1, time=timezone.now(), kind="accepted")
    Definition.objects.create(name="digits")
    FollowerState.objects.create()
    tokens.create(user, "mine")
    services.request(user, "cancel", workflow)
    services.request_bulk(user, "cancel", ids=[workflow.workflow_id])
    return model.objects.first()


def test_the_list_takes_the_same_few_statements_for_any_number_of_rows(
    page: Client, make: Callable[..., list[Workflow]]
) -> None:
    make(5, "RUNNING", definition="digits")
    few = _statements(page)
    make(200, "FAILED", definition="digits", error={"type": "E", "message": "m"})
    assert _statements(page) == few
    assert few <= 10


def _statements(page: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert page.get(LIST).status_code == 200
    return len(captured)


def test_the_list_can_be_filtered_and_searched(
    page: Client, make: Callable[..., list[Workflow]]
) -> None:
    make(2, "RUNNING", definition="digits")
    make(1, "FAILED")
    assert page.get(f"{LIST}?status__exact=FAILED").context["cl"].result_count == 1
    assert page.get(f"{LIST}?definition=digits").context["cl"].result_count == 2
    assert page.get(f"{LIST}?q=w0002").context["cl"].result_count == 1


def test_a_token_made_in_the_admin_is_shown_once_and_works_until_revoked(page: Client) -> None:
    add = reverse("admin:workflows_app_apitoken_add")
    refused = page.post(add, {"name": "ci", "scope": "read", "networks": "home"})
    assert "is no address or network" in refused.content.decode()
    form = {"name": "ci", "scope": "read", "networks": "10.0.0.0/8, 127.0.0.1"}
    answer = page.post(add, form, follow=True)
    shown = next(str(message) for message in answer.context["messages"] if "rf_" in str(message))
    plain = shown.split("The token is ")[1].split()[0]
    assert tokens.authenticate(plain, "127.0.0.1").user.get_username() == "ada"
    token = ApiToken.objects.get()
    changelist = reverse("admin:workflows_app_apitoken_changelist")
    page.post(changelist, {"action": "revoke", "_selected_action": [token.pk]})
    with pytest.raises(tokens.TokenRefused):
        tokens.authenticate(plain, "127.0.0.1")


def test_a_bulk_operation_can_be_aborted_and_commands_be_sent_again(
    page: Client, make: Callable[..., list[Workflow]], administrator: User
) -> None:
    rows = make(2, "RUNNING")
    bulk = services.request_bulk(administrator, "cancel", ids=[rows[0].workflow_id])
    url = reverse("admin:workflows_app_bulkoperation_changelist")
    page.post(url, {"action": "abort", "_selected_action": [str(bulk.pk)]})
    bulk.refresh_from_db()
    assert bulk.state == "ABORTED"
    command = services.request(administrator, "cancel", rows[1])
    url = reverse("admin:workflows_app_command_changelist")
    answer = page.post(
        url, {"action": "send_again", "_selected_action": [str(command.pk)]}, follow=True
    )
    assert "1 open commands were sent again" in answer.content.decode()


def test_the_admin_needs_no_inline_script_or_style(
    page: Client, make: Callable[..., list[Workflow]]
) -> None:
    make(1, "RUNNING")
    for url in ("/admin/", LIST):
        answer = page.get(url)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert b"<script>" not in answer.content
        assert b" style=" not in answer.content
    assert all(isinstance(site, admin.ModelAdmin) for site in admin.site._registry.values())
