"""Failures by group, resolved ones, and what people say of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor
from tests.web.fake_gateway import FakeGateway
from tests.web.stories import begin
from workflows_app import projection, rollups
from workflows_app.follower import Follower
from workflows_app.models import AuditEntry, FailureGroup, Workflow

URL = "/api/v1/failure-groups/"


def fail(engine: FakeGateway, workflow_id: str, message: str, kind: str = "ValueError") -> None:
    begin(engine, workflow_id)
    fail_again(engine, workflow_id, message, kind)


def fail_again(
    engine: FakeGateway, workflow_id: str, message: str, kind: str = "ValueError"
) -> None:
    error = {"type": kind, "message": message, "traceback": 'File "a.py", line 3, in f'}
    engine.write(workflow_id, "status", status="FAILED", error=error)
    Follower(engine).follow([workflow_id])


@pytest.fixture
def failures(counts_agree: None, engine: FakeGateway) -> FakeGateway:
    """Three workflows that failed alike, and one that failed otherwise."""
    for n in range(3):
        fail(engine, f"alike-{n}", f"row {n} of 'file-{n}.csv' is bad")
    fail(engine, "other", "out of memory", "MemoryError")
    return engine


def groups(api: Client, **query: str) -> list[dict[str, Any]]:
    return list(api.get(URL, query).json()["items"])


def test_what_failed_alike_is_one_group(api: Client, failures: FakeGateway) -> None:
    first, second = groups(api)
    assert (first["workflows"], second["workflows"]) == (3, 1)
    assert (first["error_type"], first["message"]) == ("ValueError", "row … of … is bad")
    assert first["place"] == "a.py:f"
    assert first["first_seen_at"] <= first["last_seen_at"]
    found = api.get("/api/v1/workflows/", {"q": first["query"]}).json()
    assert {item["workflow_id"] for item in found["items"]} == {"alike-0", "alike-1", "alike-2"}
    bulk = {"action": "resume", "selection": {"q": first["query"]}, "dry_run": True}
    preview = api.post("/api/v1/bulk-operations/", bulk, content_type="application/json").json()
    assert (preview["matched"], preview["eligible"]) == (3, 3)


def test_a_resolved_failure_leaves_its_group_and_the_list(
    api: Client, failures: FakeGateway
) -> None:
    answer = api.post(
        "/api/v1/workflows/alike-0/actions/resolve/",
        {"note": "bad file"},
        content_type="application/json",
    )
    assert answer.json()["resolved"] is True
    assert groups(api)[0]["workflows"] == 2
    listed = api.get("/api/v1/workflows/", {"q": "resolved:false"}).json()
    assert {i["workflow_id"] for i in listed["items"]} == {"alike-1", "alike-2", "other"}
    listed = api.get("/api/v1/workflows/", {"q": "resolved:true"}).json()
    assert [i["workflow_id"] for i in listed["items"]] == ["alike-0"]
    assert AuditEntry.objects.get(verb="resolve").detail == {"note": "bad file"}
    api.post("/api/v1/workflows/alike-0/actions/unresolve/", "", content_type="application/json")
    assert groups(api)[0]["workflows"] == 3


def test_a_resolution_survives_a_rebuild_and_ends_with_the_next_failure(
    api: Client, failures: FakeGateway
) -> None:
    api.post("/api/v1/workflows/alike-0/actions/resolve/", "", content_type="application/json")
    projection.forget_everything()
    assert FailureGroup.objects.count() == 0
    Follower(failures).reconcile()
    assert Workflow.objects.get(workflow_id="alike-0").resolved
    assert groups(api)[0]["workflows"] == 2
    failures.write("alike-0", "resumed", reset=[])
    Follower(failures).follow(["alike-0"])
    assert not Workflow.objects.get(workflow_id="alike-0").resolved
    fail_again(failures, "alike-0", "row 7 of 'x' is bad")
    assert groups(api)[0]["workflows"] == 3


def test_only_failures_can_be_resolved(api: Client, engine: FakeGateway) -> None:
    begin(engine, "w1")
    Follower(engine).follow(["w1"])
    problem = assert_problem(
        api.post("/api/v1/workflows/w1/actions/resolve/", "", content_type="application/json"),
        409,
        "state_conflict",
    )
    assert "RUNNING" in problem["detail"]


def test_people_say_what_is_to_be_done_about_a_group(api: Client, failures: FakeGateway) -> None:
    fingerprint = groups(api)[0]["fingerprint"]
    one = f"{URL}{fingerprint}/"
    tag = api.get(one).headers["ETag"]

    def change(body: Any, **headers: str) -> Any:
        return api.patch(one, body, content_type="application/json", headers=headers)

    answer = change({"assignee": "ada", "note": "known"}, **{"If-Match": tag})
    assert (answer.status_code, answer.json()["assignee"]) == (200, "ada")
    stale = assert_problem(change({"note": "mine"}, **{"If-Match": tag}), 412, "stale")
    assert stale["etag"] == answer.headers["ETag"]
    assert change({"state": "ignored"}).json()["state"] == "ignored"
    assert [g["error_type"] for g in groups(api)] == ["MemoryError"]
    assert [g["workflows"] for g in groups(api, state="ignored")] == [3]
    assert len(groups(api, state="all")) == 2
    assert_problem(change({}), 400, "validation_error")
    assert_problem(change({"state": "gone"}), 400, "validation_error")
    assert_problem(api.get(f"{URL}nothing/"), 404, "not_found")


def test_a_resolved_group_is_open_again_when_something_fails_like_it(
    api: Client, failures: FakeGateway
) -> None:
    fingerprint = groups(api)[0]["fingerprint"]
    one = f"{URL}{fingerprint}/"
    Workflow.objects.update(created_at="2026-01-01T00:00:00Z")
    answer = api.patch(one, {"state": "resolved"}, content_type="application/json")
    assert answer.json()["state"] == "resolved"
    assert [g["error_type"] for g in groups(api)] == ["MemoryError"]
    Workflow.objects.filter(workflow_id="alike-2").update(created_at="2126-01-01T00:00:00Z")
    assert api.get(one).json()["state"] == "open"
    assert groups(api)[0]["fingerprint"] == fingerprint
    rollups.rebuild()  # for the dates that the test has changed behind its back


def test_who_may_not_see_values_sees_no_messages(
    client_for: ClientFor, viewer: User, failures: FakeGateway
) -> None:
    group = groups(client_for(viewer))[0]
    assert group["error_type"] == "ValueError"
    assert "row" not in group["message"]
    answer = client_for(viewer).patch(
        f"{URL}{group['fingerprint']}/", {"note": "x"}, content_type="application/json"
    )
    assert_problem(answer, 403, "forbidden")
