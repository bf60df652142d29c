"""GET audit-entries/: who asked for what."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow

URL = "/api/v1/audit-entries/"


def test_every_command_is_in_the_log(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl", status="RUNNING")
    make_workflow("old", status="FAILED")
    body = {"reason": "wrong input"}
    cancel = api.post("/api/v1/workflows/etl/actions/cancel/", body, "application/json")
    api.delete("/api/v1/workflows/old/")
    first, second = api.get(URL).json()["items"]
    assert (first["verb"], first["target"], first["actor"]) == ("delete", "old", "ada")
    assert (second["verb"], second["target"]) == ("cancel", "etl")
    assert second["detail"]["reason"] == "wrong input"
    assert second["request_id"] == cancel.headers["X-Request-ID"]

    def found(**query: Any) -> list[str]:
        return [entry["target"] for entry in api.get(URL, query).json()["items"]]

    assert found(verb="cancel") == found(target="etl") == ["etl"]
    assert found(actor="nobody") == found(before=second["time"]) == []
    assert found(after=second["time"]) == ["old", "etl"]
    page = api.get(URL, {"limit": 1}).json()
    assert [e["target"] for e in page["items"]] == ["old"]
    assert found(limit=1, cursor=page["page"]["next"]) == ["etl"]


def test_the_log_is_for_admins(client_for: ClientFor, operator: User, viewer: User) -> None:
    for user in (operator, viewer):
        problem = assert_problem(client_for(user).get(URL), 403, "forbidden")
        assert "view_audit" in problem["detail"]
    assert client_for(operator).post(URL).status_code in (403, 405)


def test_filters_that_make_no_sense_are_refused(api: Client) -> None:
    for query in ({"after": "yesterday"}, {"verbs": "x"}, {"cursor": "forged"}):
        answer = api.get(URL, query)
        assert answer.status_code == 400
