"""POST …/actions/fork/ and plans: what is asked for, what the engine hears, what the registry says."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem, pointers
from tests.web.api.conftest import ClientFor, MakeTask, MakeWorkflow
from tests.web.fake_gateway import FakeGateway
from tests.web.stories import ERROR, begin
from tests.web.worker import deliver
from workflows_app.follower import Follower
from workflows_app.models import AuditEntry, Command, Workflow

URL = "/api/v1/workflows/etl/actions/"


def act(api: Client, verb: str, body: Any = "", **headers: str) -> Any:
    return api.post(URL + verb + "/", data=body, content_type="application/json", headers=headers)


@pytest.fixture
def origin(make_workflow: MakeWorkflow, make_task: MakeTask) -> Workflow:
    """A workflow that has failed, with two tasks."""
    made = make_workflow(
        "etl", status="FAILED", definition="digits", params={"folds": 3}, tags={"a": "1"}
    )
    make_task(made, "load", name="load", status="SUCCESSFUL")
    make_task(made, "fit", name="fit", status="FAILED")
    return made


@pytest.mark.django_db(transaction=True)
def test_a_fork_is_asked_for_carried_out_and_shown(
    api: Client, origin: Workflow, engine: FakeGateway, empty_queue: None
) -> None:
    body = {"from_tasks": ["load"], "workflow_id": "again", "reason": "new data"}
    answer = act(api, "fork", body)
    assert answer.status_code == 202, answer.content
    shown = answer.json()["workflow"]
    assert (shown["workflow_id"], shown["status"]) == ("again", "PENDING")
    assert (shown["forked_from"], shown["pending_command"]) == ("etl", "fork")
    deliver()
    assert engine.calls == [("fork", "again")]
    Follower(engine).follow(["again"])
    fork = api.get("/api/v1/workflows/again/").json()
    assert (fork["forked_from"], fork["tags"], fork["params"]) == ("etl", {"a": "1"}, None)
    entry = AuditEntry.objects.get(verb="fork")
    assert entry.detail["origin"] == "etl"
    assert entry.detail["from_tasks"] == ["load"]


def test_a_fork_gets_an_id_and_is_made_once_per_key(
    api: Client, origin: Workflow, engine: FakeGateway
) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = act(api, "fork", **key), act(api, "fork", **key)
    assert first.json()["operation"] == second.json()["operation"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert first.json()["workflow"]["workflow_id"].startswith("etl-fork-")
    assert_problem(act(api, "fork", {"tags": {"b": "2"}}, **key), 422, "idempotency_mismatch")


def test_what_cannot_be_forked_is_refused(
    api: Client, origin: Workflow, make_workflow: MakeWorkflow
) -> None:
    problem = assert_problem(
        act(api, "fork", {"from_tasks": ["load", "nothing"]}), 400, "unknown_task"
    )
    assert pointers(problem) == ["/from_tasks/1"]
    assert_problem(act(api, "fork", {"workflow_id": "etl"}), 409, "workflow_exists")
    assert_problem(act(api, "fork", {"workflow_id": "a b"}), 400, "invalid_workflow_id")
    make_workflow("live")
    live = api.post("/api/v1/workflows/live/actions/fork/", "", content_type="application/json")
    assert "RUNNING" in assert_problem(live, 409, "state_conflict")["detail"]
    make_workflow("actor", status="SUCCESSFUL", actor="Counter")
    assert_problem(
        api.post("/api/v1/workflows/actor/actions/fork/", "", content_type="application/json"),
        409,
        "state_conflict",
    )
    assert Command.objects.count() == 0


def test_who_may_only_look_may_plan_but_not_fork(
    client_for: ClientFor, viewer: User, origin: Workflow, engine: FakeGateway
) -> None:
    problem = assert_problem(act(client_for(viewer), "fork"), 403, "forbidden")
    assert "start_workflow" in problem["detail"]


@pytest.mark.parametrize(("verb", "body"), [("resume", {}), ("fork", {"from_tasks": ["fit"]})])
@pytest.mark.django_db(transaction=True)
def test_a_dry_run_answers_a_plan_and_changes_nothing(
    api: Client,
    origin: Workflow,
    engine: FakeGateway,
    empty_queue: None,
    verb: str,
    body: dict[str, Any],
) -> None:
    answer = act(api, verb, {**body, "dry_run": True})
    assert answer.status_code == 202, answer.content
    deliver()
    found = api.get(answer.headers["Location"]).json()
    assert (found["state"], found["kind"]) == ("SUCCEEDED", "plan")
    assert found["result"]["reuse"] == {"count": 1, "items": ["kept"], "truncated": False}
    assert found["result"]["run"]["items"][-1] == "main"
    assert engine.calls == [(f"plan {verb}", "etl")]
    assert api.get("/api/v1/workflows/etl/").json()["pending_command"] is None
    assert act(api, "resume").status_code == 202  # a plan is in nobody's way


def test_a_plan_of_what_cannot_be_resumed_is_refused(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    assert_problem(act(api, "resume", {"dry_run": True}), 409, "state_conflict")


@pytest.mark.parametrize("order", [("w1", "fork"), ("fork", "w1")])
def test_a_fork_that_succeeds_resolves_its_origin(
    db: None, engine: FakeGateway, order: tuple[str, str]
) -> None:
    begin(engine, "w1")
    engine.write("w1", "status", status="FAILED", error=ERROR)
    engine.fork(workflow_id="fork", origin="w1", token="t", from_tasks=[])
    engine.write("fork", "succeeded", "main", 1, reused_from="w1", started_at=1.0, finished_at=2.0)
    engine.write("fork", "status", status="SUCCESSFUL")
    for workflow_id in order:
        Follower(engine).follow([workflow_id])
    failed = Workflow.objects.get(workflow_id="w1")
    assert (failed.status, failed.resolved, failed.superseded_by) == ("FAILED", True, "fork")
    task = Workflow.objects.get(workflow_id="fork").tasks.get()
    assert (task.reused_from, task.status, task.attempts.count()) == ("w1", "SUCCESSFUL", 0)
    engine.delete("fork")
    Follower(engine).step(0)
    failed.refresh_from_db()
    assert (failed.resolved, failed.superseded_by) == (False, None)
