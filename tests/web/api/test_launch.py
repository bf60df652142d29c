"""POST /api/v1/workflows/: launching a definition."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem, pointers
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app.models import Command, Definition

pytestmark = pytest.mark.usefixtures("definition")
URL = "/api/v1/workflows/"


def launch(api: Client, *, key: str | None = None, **body: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    payload = {"definition": "training", "params": {"label": "x"}, **body}
    return api.post(URL, data=payload, content_type="application/json", headers=headers)


def test_a_launch_is_accepted_with_its_operation_and_workflow(api: Client) -> None:
    answer = launch(api, workflow_id="run-1", metadata={"ticket": 7}, tags={"team": "ml"})
    assert answer.status_code == 202
    body = answer.json()
    assert body["operation"]["kind"] == "launch"
    assert body["operation"]["state"] == "QUEUED"
    assert body["operation"]["workflow_id"] == "run-1"
    assert body["workflow"]["workflow_id"] == "run-1"
    assert body["workflow"]["status"] == "PENDING"
    assert body["workflow"]["pending_command"] == "launch"
    assert body["workflow"]["user_metadata"] == {"ticket": 7}
    assert answer.headers["Location"] == f"/api/v1/operations/{body['operation']['id']}/"
    assert api.get(answer.headers["Location"]).json() == body["operation"]


def test_a_workflow_can_be_asked_for_while_it_is_being_launched(api: Client) -> None:
    launched = launch(api, workflow_id="run-1").json()["workflow"]
    assert api.get(URL + "run-1/").json() == launched
    assert api.get(URL + "run-1/status/").json()["status"] == "PENDING"
    assert api.get(URL + "run-1/tasks/").json()["items"] == []
    assert api.get(URL + "run-1/graph/").json()["nodes"] == []
    assert api.get(URL + "run-1/timeline/").json()["items"] == []
    assert api.get(URL + "run-1/events/").json()["items"] == []
    assert_problem(api.delete(URL + "run-1/"), 409, "command_pending")


def test_a_launch_that_failed_says_why(api: Client) -> None:
    operation = launch(api, workflow_id="run-1").json()["operation"]["id"]
    problem = {"code": "engine_error", "detail": "No room."}
    Command.objects.filter(pk=operation).update(state="FAILED", problem=problem)
    found = assert_problem(api.get(URL + "run-1/"), 404, "launch_failed")
    assert found["operation"] == operation
    assert "No room." in found["detail"]


def test_an_id_is_made_up_if_none_is_given(api: Client) -> None:
    first, second = launch(api).json(), launch(api).json()
    assert first["workflow"]["workflow_id"].startswith("training-")
    assert first["workflow"]["workflow_id"] != second["workflow"]["workflow_id"]


def test_the_same_request_with_the_same_key_launches_once(api: Client) -> None:
    first = launch(api, key="k-1", tags={"a": "b"})
    second = launch(api, key="k-1", tags={"a": "b"})
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.status_code == 202
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    assert Command.objects.count() == 1


def test_another_request_with_the_same_key_is_refused(api: Client) -> None:
    launch(api, key="k-1")
    answer = launch(api, key="k-1", params={"label": "y"})
    assert_problem(answer, 422, "idempotency_mismatch")
    assert Command.objects.count() == 1


def test_keys_of_different_people_do_not_meet(
    api: Client, client_for: ClientFor, operator: User
) -> None:
    launch(api, key="k-1")
    assert "Idempotency-Replayed" not in launch(client_for(operator), key="k-1").headers
    assert Command.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 129, "two words"])
def test_a_key_that_cannot_be_kept_is_refused(api: Client, key: str) -> None:
    assert_problem(launch(api, key=key), 400, "bad_idempotency_key")


def test_an_unknown_definition_names_those_there_are(api: Client) -> None:
    answer = launch(api, definition="trainin")
    problem = assert_problem(answer, 404, "unknown_definition")
    assert "training" in problem["detail"]


def test_a_definition_that_is_no_longer_loaded_cannot_be_launched(api: Client) -> None:
    Definition.objects.update(available=False)
    assert_problem(launch(api), 404, "unknown_definition")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"label": "x", "folds": 1}, ["/params/folds"]),
        ({"label": 3}, ["/params/label"]),
        ({}, ["/params/label"]),
        ({"folds": "five"}, ["/params/label", "/params/folds"]),
        ({"label": "x", "fold": 3}, ["/params"]),
    ],
)
def test_parameters_that_do_not_fit_are_pointed_to(
    api: Client, params: dict[str, Any], expected: list[str]
) -> None:
    problem = assert_problem(launch(api, params=params), 400, "invalid_parameters")
    assert sorted(pointers(problem)) == sorted(expected)
    assert Command.objects.count() == 0


@pytest.mark.parametrize(
    "workflow_id", ["a/b", "..", ".", "", "x" * 201, "x" * 300, "ü", "a b", "a\n", "%2F", "a;b"]
)
def test_an_odd_id_is_refused(api: Client, workflow_id: str) -> None:
    problem = assert_problem(launch(api, workflow_id=workflow_id), 400, "invalid_workflow_id")
    assert pointers(problem) == ["/workflow_id"]
    assert Command.objects.count() == 0


@pytest.mark.parametrize("workflow_id", ["a", "A-b_c.d~1", "x" * 200, ".a"])
def test_every_id_inside_the_rule_is_taken(api: Client, workflow_id: str) -> None:
    assert launch(api, workflow_id=workflow_id).status_code == 202


def test_an_id_that_is_taken_is_refused(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("run-1")
    assert_problem(launch(api, workflow_id="run-1"), 409, "workflow_exists")


def test_an_id_that_is_being_launched_is_refused(api: Client) -> None:
    launch(api, workflow_id="run-1")
    assert_problem(launch(api, workflow_id="run-1"), 409, "workflow_exists")


def test_a_viewer_may_not_launch(client_for: ClientFor, viewer: User) -> None:
    problem = assert_problem(launch(client_for(viewer)), 403, "forbidden")
    assert "start_workflow" in problem["detail"]
