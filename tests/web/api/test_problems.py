"""Whatever goes wrong under /api/, the answer is a problem document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem, pointers
from tests.web.api.conftest import MakeWorkflow
from workflows_app.api.definitions import DefinitionList

WORKFLOWS = "/api/v1/workflows/"


def post(api: Client, body: bytes | str, content_type: str = "application/json") -> Any:
    return api.post(WORKFLOWS, data=body, content_type=content_type)


def test_a_path_that_does_not_exist_is_a_problem(api: Client) -> None:
    problem = assert_problem(api.get("/api/v1/nothing/here/"), 404, "not_found")
    assert problem["instance"] == "/api/v1/nothing/here/"
    assert_problem(api.get("/api/"), 404, "not_found")


def test_a_method_that_does_not_exist_names_those_that_do(api: Client) -> None:
    answer = api.put(WORKFLOWS)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


def test_a_body_that_is_not_json_says_where_it_breaks(api: Client) -> None:
    problem = assert_problem(post(api, '{"definition": '), 400, "malformed_body")
    assert "line 1 column 16" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", "NaN", '{"params": {"x": Infinity}}', "[" * 100_000, "1" * 5_000],
    ids=["not utf-8", "nan", "infinity", "100,000 levels", "5,000 digits"],
)
def test_what_json_does_not_know_is_refused(api: Client, body: bytes | str) -> None:
    assert_problem(post(api, body), 400, "malformed_body")


def test_json_that_is_deeper_than_allowed_is_refused(api: Client) -> None:
    body = '{"definition": "training", "params": {"x": ' + "[" * 70 + "]" * 70 + "}}"
    problem = assert_problem(post(api, body), 400, "malformed_body")
    assert "64 levels" in problem["detail"]


@pytest.mark.parametrize("value", ['"\\u0000"', '"\\ud800"', "1e999"])
def test_a_value_that_no_database_keeps_is_named_by_its_pointer(api: Client, value: str) -> None:
    answer = post(api, '{"definition": "training", "params": {"a/b": [1, ' + value + "]}}")
    problem = assert_problem(answer, 400, "validation_error")
    assert pointers(problem) == ["/params/a~1b/1"]


@pytest.mark.parametrize("body", ["", "[]", '"text"', "7", "null"])
def test_a_body_of_another_shape_is_refused(api: Client, body: str) -> None:
    assert_problem(post(api, body), 400, "validation_error")


def test_each_field_that_does_not_fit_has_a_pointer(api: Client) -> None:
    answer = post(api, json.dumps({"params": [], "tags": {"team": {"a": 1}}}))
    problem = assert_problem(answer, 400, "validation_error")
    assert pointers(problem) == ["/definition", "/params", "/tags/team"]


def test_another_content_type_is_refused(api: Client) -> None:
    assert_problem(post(api, "definition=x", "text/plain"), 415, "unsupported_media_type")
    form = "application/x-www-form-urlencoded"
    assert_problem(post(api, "definition=x", form), 415, "unsupported_media_type")


def test_an_answer_in_another_format_is_refused(api: Client) -> None:
    answer = api.get(WORKFLOWS, headers={"Accept": "text/csv"})
    assert_problem(answer, 406, "not_acceptable")


def test_a_body_above_the_limit_is_refused(api: Client) -> None:
    body = json.dumps({"definition": "training", "params": {"x": "y" * 1_100_000}})
    assert_problem(post(api, body), 413, "payload_too_large")


def test_a_nul_character_in_the_address_is_refused(api: Client) -> None:
    assert_problem(api.get(WORKFLOWS + "a%00b/"), 400, "bad_request")
    assert_problem(api.get(WORKFLOWS + "?q=a%00b"), 400, "bad_request")


def test_a_defect_is_answered_with_the_id_to_report(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(DefinitionList, "get", broken)
    answer = api.get("/api/v1/definitions/", headers={"X-Request-ID": "my-id"})
    problem = assert_problem(answer, 500, "internal")
    assert problem["request_id"] == "my-id"
    assert b"secret" not in answer.content


def test_a_refused_host_is_a_problem(api: Client) -> None:
    answer = api.get(WORKFLOWS, headers={"Host": "evil.example"})
    assert_problem(answer, 400, "bad_request")


def test_a_session_without_the_csrf_token_is_refused(administrator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(administrator)
    answer = client.post(WORKFLOWS, data="{}", content_type="application/json")
    assert_problem(answer, 403, "csrf_failed")


def test_a_missing_slash_at_the_end_changes_nothing(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    assert api.get("/api/v1/workflows/etl").json()["workflow_id"] == "etl"
    answer = api.post("/api/v1/workflows/etl/actions/resume", content_type="application/json")
    assert_problem(answer, 409, "state_conflict")


def test_pages_outside_the_api_keep_their_own_errors(client: Client) -> None:
    assert "problem" not in client.get("/no/such/page/").headers["Content-Type"]
