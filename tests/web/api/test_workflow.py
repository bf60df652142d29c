"""GET and DELETE of one workflow, its output and the old library's metadata."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import START, ClientFor, MakeTask, MakeWorkflow
from workflows_app.models import AuditEntry, Command

URL = "/api/v1/workflows/"
ERROR = {"type": "ValueError", "message": "secret 42", "traceback": "…", "task_id": "fit"}
PREVIEW = {
    "type": "int", "size": 5, "shape": None, "text": "42", "json": 42, "table": None,
    "truncated": False,
}  # fmt: skip


def test_a_workflow_has_exactly_the_fields_of_the_contract(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow(
        "etl", status="SUCCESSFUL", definition="etl", params={"n": 1}, user_metadata={"a": [1]},
        tags={"team": "ml"}, started_at=START, finished_at=START + timedelta(seconds=2),
        duration_ms=2000, tasks_total=3, tasks_successful=3, event_seq=9,
    )  # fmt: skip
    assert api.get(URL + "etl/").json() == {
        "workflow_id": "etl",
        "status": "SUCCESSFUL",
        "definition": "etl",
        "actor": None,
        "params": {"n": 1},
        "user_metadata": {"a": [1]},
        "tags": {"team": "ml"},
        "created_at": "2026-01-01T12:00:00.000000Z",
        "started_at": "2026-01-01T12:00:00.000000Z",
        "finished_at": "2026-01-01T12:00:02.000000Z",
        "duration_ms": 2000,
        "tasks": {
            "total": 3, "pending": 0, "running": 0, "successful": 3, "failed": 0, "canceled": 0,
        },
        "error": None,
        "failure_group": "",
        "resolved": False,
        "forked_from": None,
        "superseded_by": None,
        "pending_command": None,
        "event_seq": 9,
    }  # fmt: skip


def test_a_workflow_from_outside_has_no_definition_and_params(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("script", definition=None, params=None, error=ERROR, status="FAILED")
    body = api.get(URL + "script/").json()
    assert body["definition"] is None
    assert body["params"] is None
    assert body["error"] == ERROR


def test_an_unknown_id_is_not_found(api: Client) -> None:
    problem = assert_problem(api.get(URL + "ghost/"), 404, "not_found")
    assert "ghost" in problem["detail"]


def test_values_are_hidden_from_who_may_not_see_them(
    client_for: ClientFor, viewer: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl", status="FAILED", params={"password": "secret"}, error=ERROR)
    looking = client_for(viewer)
    body = looking.get(URL + "etl/").json()
    assert body["params"] is None
    assert body["error"]["type"] == "ValueError"
    assert b"secret" not in looking.get(URL).content + looking.get(URL + "etl/").content
    assert_problem(looking.get(URL + "etl/output/"), 403, "forbidden")


def test_deleting_a_finished_workflow_is_accepted(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl", status="FAILED")
    answer = api.delete(URL + "etl/")
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    assert operation["kind"] == "delete"
    assert answer.headers["Location"].endswith(f"/operations/{operation['id']}/")
    assert api.get(URL + "etl/").json()["pending_command"] == "delete"
    entry = AuditEntry.objects.get(verb="delete", target="etl")
    assert entry.actor == "ada"
    assert entry.request_id == answer.headers["X-Request-ID"]


def test_deleting_a_running_workflow_is_refused(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl", status="RUNNING", event_seq=4)
    problem = assert_problem(api.delete(URL + "etl/"), 409, "state_conflict")
    assert problem["current"] == {"status": "RUNNING", "event_seq": 4}
    assert Command.objects.count() == 0


def test_deleting_an_unknown_workflow_is_not_found(api: Client) -> None:
    assert_problem(api.delete(URL + "ghost/"), 404, "not_found")


def test_the_output_is_its_preview(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl", status="SUCCESSFUL", output_preview=PREVIEW)
    body = api.get(URL + "etl/output/").json()
    assert body == {"workflow_id": "etl", "status": "SUCCESSFUL", "preview": PREVIEW}


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "FAILED", "RESUMABLE", "CANCELED"])
def test_a_workflow_without_a_result_has_no_output(
    api: Client, make_workflow: MakeWorkflow, status: str
) -> None:
    make_workflow("etl", status=status)
    problem = assert_problem(api.get(URL + "etl/output/"), 409, "state_conflict")
    assert problem["current"] == {"status": status}


def test_metadata_has_the_shape_of_the_old_library(
    api: Client, make_workflow: MakeWorkflow, make_task: MakeTask
) -> None:
    end = START + timedelta(seconds=1.5)
    workflow = make_workflow(
        "etl", status="SUCCESSFUL", user_metadata={"k": "v"}, started_at=START, finished_at=end
    )
    options = {"checkpoint": True, "catch_exceptions": False, "max_retries": 3,
               "retry_exceptions": False, "ray": {"num_cpus": 2}}  # fmt: skip
    make_task(
        workflow, "load", name="load", upstream=["fetch"], options=options, metadata={"m": 1},
        started_at=START,
    )  # fmt: skip
    assert api.get(URL + "etl/metadata/").json() == {
        "status": "SUCCESSFUL",
        "user_metadata": {"k": "v"},
        "stats": {"start_time": START.timestamp(), "end_time": end.timestamp()},
    }
    assert api.get(URL + "etl/tasks/load/metadata/").json() == {
        "task_id": "load",
        "name": "load",
        "task_options": {
            "task_type": "FUNCTION", "max_retries": 3, "catch_exceptions": False,
            "retry_exceptions": False, "checkpoint": True, "ray_options": {"num_cpus": 2},
        },
        "user_metadata": {"m": 1},
        "workflow_refs": ["fetch"],
        "stats": {"start_time": START.timestamp()},
    }  # fmt: skip
    assert_problem(api.get(URL + "etl/tasks/ghost/metadata/"), 404, "not_found")
