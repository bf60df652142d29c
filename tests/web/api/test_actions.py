"""POST …/actions/cancel/ and …/actions/resume/."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem, pointers
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app.models import AuditEntry, Command, Definition

URL = "/api/v1/workflows/etl/actions/"
ALLOWED = {
    "cancel": {"PENDING", "RUNNING"},
    "suspend": {"PENDING", "RUNNING"},
    "resume": {"FAILED", "RESUMABLE"},
}
STATUSES = ["PENDING", "RUNNING", "SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED"]


def act(api: Client, verb: str, body: Any = "", **headers: str) -> Any:
    return api.post(URL + verb + "/", data=body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("verb", list(ALLOWED))
@pytest.mark.parametrize("status", STATUSES)
def test_a_verb_is_accepted_where_the_status_allows_it(
    api: Client, make_workflow: MakeWorkflow, verb: str, status: str
) -> None:
    make_workflow("etl", status=status)
    answer = act(api, verb)
    if status not in ALLOWED[verb]:
        problem = assert_problem(answer, 409, "state_conflict")
        assert problem["current"]["status"] == status
        assert status in problem["detail"]
        assert Command.objects.count() == 0
        return
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    assert (operation["kind"], operation["state"]) == (verb, "QUEUED")
    assert answer.headers["Location"] == f"/api/v1/operations/{operation['id']}/"


def test_the_reason_is_kept_in_the_audit_log(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    assert act(api, "cancel", {"reason": "wrong input"}).status_code == 202
    assert AuditEntry.objects.get(verb="cancel").detail["reason"] == "wrong input"


def test_a_second_command_waits_for_the_first(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    act(api, "cancel")
    assert_problem(act(api, "cancel"), 409, "command_pending")


def test_a_repeated_request_with_its_key_is_one_command(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    key = {"Idempotency-Key": "k-1"}
    first, second = act(api, "cancel", **key), act(api, "cancel", **key)
    assert second.status_code == 202
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json() == first.json()
    answer = act(api, "cancel", {"reason": "another"}, **key)
    assert_problem(answer, 422, "idempotency_mismatch")


def test_a_body_that_does_not_fit_is_refused(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    problem = assert_problem(act(api, "cancel", {"reason": ["a"]}), 400, "validation_error")
    assert pointers(problem) == ["/reason"]
    assert_problem(act(api, "cancel", "{"), 400, "malformed_body")


def test_an_unknown_workflow_is_not_found(api: Client) -> None:
    assert_problem(act(api, "cancel"), 404, "not_found")


def test_a_verb_that_does_not_exist_is_not_found(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    assert_problem(act(api, "explode"), 404, "not_found")


def test_reading_a_verb_is_refused(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    assert_problem(api.get(URL + "cancel/"), 405, "method_not_allowed")


def test_a_viewer_may_not_act(
    client_for: ClientFor, viewer: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    problem = assert_problem(act(client_for(viewer), "cancel"), 403, "forbidden")
    assert "cancel_workflow" in problem["detail"]


def test_a_rerun_is_a_new_workflow_with_the_same_parameters(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}}}
    Definition.objects.create(name="etl", params_schema=schema)
    make_workflow(
        "etl", status="FAILED", definition="etl", params={"n": 1, "m": 2}, tags={"a": "b"}
    )
    answer = act(api, "rerun", {"params": {"m": 3}, "workflow_id": "etl-2"})
    assert answer.status_code == 202
    assert answer.json()["workflow"]["workflow_id"] == "etl-2"
    command = Command.objects.get()
    assert (command.kind, command.workflow_id) == ("launch", "etl-2")
    assert command.payload["params"] == {"n": 1, "m": 3}
    assert command.payload["tags"] == {"a": "b"}
    assert command.payload["metadata"] == {"rerun_of": "etl"}
    wrong = act(api, "rerun", {"params": {"m": "x"}})
    assert pointers(assert_problem(wrong, 400, "invalid_parameters")) == ["/params/m"]


def test_what_a_program_ran_is_not_rerun_here(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl", status="FAILED", definition=None, params=None)
    problem = assert_problem(act(api, "rerun"), 409, "state_conflict")
    assert "was not launched from a definition" in problem["detail"]
