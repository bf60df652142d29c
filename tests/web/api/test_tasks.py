"""Tasks of a workflow, their attempts, the graph and the timeline."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import START, ClientFor, MakeTask, MakeWorkflow
from workflows_app.models import Task, TaskAttempt, Workflow

URL = "/api/v1/workflows/etl/"


@pytest.fixture
def workflow(make_workflow: MakeWorkflow) -> Workflow:
    """A workflow without tasks."""
    return make_workflow("etl")


def add_tasks(workflow: Workflow, tasks: list[Task]) -> None:
    Task.objects.bulk_create(tasks)
    Workflow.objects.filter(pk=workflow.pk).update(tasks_total=len(tasks))


def task_ids(api: Client, **query: Any) -> list[str]:
    answer = api.get(URL + "tasks/", query)
    assert answer.status_code == 200, answer.content
    return [item["task_id"] for item in answer.json()["items"]]


def test_tasks_are_listed_in_the_order_they_were_made(
    api: Client, workflow: Workflow, make_task: MakeTask
) -> None:
    for name in ("load", "fit", "evaluate"):
        make_task(workflow, name, name=name, status="PENDING")
    body = api.get(URL + "tasks/", {"limit": 2}).json()
    assert [item["task_id"] for item in body["items"]] == ["load", "fit"]
    assert task_ids(api, limit=2, cursor=body["page"]["next"]) == ["evaluate"]
    assert set(body["items"][0]) == {
        "task_id", "name", "status", "attempt", "parent_task_id", "started_at", "finished_at",
        "duration_ms", "node", "pid",
    }  # fmt: skip


def test_tasks_can_be_filtered(api: Client, workflow: Workflow, make_task: MakeTask) -> None:
    make_task(workflow, "a", name="fit", status="FAILED")
    make_task(workflow, "b", name="fit", status="RUNNING")
    make_task(workflow, "c", name="load", status="FAILED")
    assert task_ids(api, status="FAILED") == ["a", "c"]
    assert task_ids(api, name="fit") == ["a", "b"]
    assert task_ids(api, name="fit", status="FAILED") == ["a"]
    for query in ({"status": "RESUMABLE"}, {"state": "FAILED"}):
        assert_problem(api.get(URL + "tasks/", query), 400, "bad_query")


def test_a_cursor_of_one_workflow_is_of_no_use_in_another(
    api: Client, workflow: Workflow, make_workflow: MakeWorkflow, make_task: MakeTask
) -> None:
    make_workflow("other")
    make_task(workflow, "a")
    make_task(workflow, "b")
    cursor = api.get(URL + "tasks/", {"limit": 1}).json()["page"]["next"]
    answer = api.get("/api/v1/workflows/other/tasks/", {"limit": 1, "cursor": cursor})
    assert_problem(answer, 400, "bad_cursor")


def test_the_list_of_tasks_takes_four_statements(
    client_for: ClientFor,
    operator: User,
    workflow: Workflow,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    api = client_for(operator)
    add_tasks(workflow, [Task(workflow=workflow, task_id=f"t{n}") for n in range(150)])
    api.get(URL + "tasks/")  # the first use of a token is noted
    # token and user, permissions of the user and of the groups, workflow, tasks
    with django_assert_max_num_queries(5):
        assert len(task_ids(api, limit=150)) == 150


def test_a_task_shows_its_attempts_and_its_error(
    api: Client, workflow: Workflow, make_task: MakeTask
) -> None:
    error = {"type": "OSError", "message": "no disk", "traceback": "Traceback…", "task_id": None}
    task = make_task(
        workflow, "fit", name="fit", status="FAILED", attempt=2, upstream=["load"], error=error,
        options={"max_retries": 1}, metadata={"k": 1}, started_at=START,
    )  # fmt: skip
    for number, cause in ((1, "system"), (2, "application")):
        TaskAttempt.objects.create(
            task=task, number=number, status="FAILED", cause=cause, error=error, started_at=START
        )
    body = api.get(URL + "tasks/fit/").json()
    assert body["error"] == error
    assert body["upstream"] == ["load"]
    assert body["upstream_total"] == 1
    assert body["options"] == {"max_retries": 1}
    assert [(each["number"], each["cause"]) for each in body["attempts"]] == [
        (1, "system"),
        (2, "application"),
    ]
    assert body["attempts"][0]["error"] == error


def test_a_task_with_very_many_attempts_and_sources_shows_the_newest_and_how_many_there_are(
    api: Client, workflow: Workflow, make_task: MakeTask
) -> None:
    task = make_task(workflow, "gather", attempt=250, upstream=[f"t{n}" for n in range(5_000)])
    TaskAttempt.objects.bulk_create(TaskAttempt(task=task, number=n) for n in range(1, 251))
    body = api.get(URL + "tasks/gather/").json()
    assert len(body["upstream"]) == 500
    assert body["upstream_total"] == 5_000
    assert [each["number"] for each in body["attempts"]] == list(range(151, 251))
    assert body["attempt"] == 250


def test_errors_and_values_of_tasks_are_hidden_from_who_may_not_see_them(
    client_for: ClientFor, viewer: User, workflow: Workflow, make_task: MakeTask
) -> None:
    error = {"type": "OSError", "message": "secret", "traceback": "secret"}
    preview = {"type": "str", "size": 1, "text": "secret", "truncated": False}
    task = make_task(workflow, "fit", status="FAILED", error=error, preview=preview)
    TaskAttempt.objects.create(task=task, number=1, error=error)
    answer = client_for(viewer).get(URL + "tasks/fit/")
    assert answer.json()["error"]["type"] == "OSError"
    assert b"secret" not in answer.content


@pytest.mark.parametrize("task_id", ["ghost", "%2e%2e", "a%20b", "ü"])
def test_an_unknown_task_is_not_found(api: Client, workflow: Workflow, task_id: str) -> None:
    assert_problem(api.get(f"{URL}tasks/{task_id}/"), 404, "not_found")


def test_tasks_of_an_unknown_workflow_are_not_found(api: Client) -> None:
    for tail in ("tasks/", "tasks/a/", "graph/", "timeline/", "events/", "output/", "metadata/"):
        assert_problem(api.get("/api/v1/workflows/ghost/" + tail), 404, "not_found")


def test_the_graph_has_a_node_for_each_task(
    api: Client, workflow: Workflow, make_task: MakeTask
) -> None:
    make_task(workflow, "load", name="load", status="SUCCESSFUL")
    make_task(workflow, "fit", name="fit", status="RUNNING", upstream=["load"])
    Workflow.objects.filter(pk=workflow.pk).update(tasks_total=2, event_seq=7)
    assert api.get(URL + "graph/").json() == {
        "mode": "full",
        "tasks_total": 2,
        "event_seq": 7,
        "truncated": False,
        "nodes": [
            {"id": "load", "name": "load", "status": "SUCCESSFUL"},
            {"id": "fit", "name": "fit", "status": "RUNNING"},
        ],
        "edges": [{"source": "load", "target": "fit", "count": 1}],
    }


def test_a_large_graph_is_summarised_by_task_name(api: Client, workflow: Workflow) -> None:
    fits = [
        Task(workflow=workflow, task_id=f"fit_{n}", name="fit", upstream=["load"], status=status)
        for n, status in enumerate(["SUCCESSFUL"] * 400 + ["RUNNING"] * 200)
    ]
    load = Task(workflow=workflow, task_id="load", name="load", status="SUCCESSFUL")
    best = Task(workflow=workflow, task_id="best", name="best", upstream=[f.task_id for f in fits])
    add_tasks(workflow, [load, *fits, best])
    for _ in range(2):  # the second answer takes the edges from the cache
        body = api.get(URL + "graph/").json()
        assert body["mode"] == "summary"
        assert body["tasks_total"] == 602
        assert body["truncated"] is False
        assert body["nodes"] == [
            {"id": "fit", "name": "fit", "counts": {"successful": 400, "running": 200}},
            {"id": "best", "name": "best", "counts": {"pending": 1}},
            {"id": "load", "name": "load", "counts": {"successful": 1}},
        ]
        assert body["edges"] == [
            {"source": "load", "target": "fit", "count": 600},
            {"source": "fit", "target": "best", "count": 600},
        ]


def test_a_graph_of_very_many_names_says_that_it_is_not_whole(
    api: Client, workflow: Workflow
) -> None:
    chain = [
        Task(workflow=workflow, task_id=f"t{n}", name=f"t{n}", upstream=[f"t{n - 1}"][:n])
        for n in range(1_200)
    ]
    add_tasks(workflow, chain)
    body = api.get(URL + "graph/").json()
    assert body["truncated"] is True
    assert len(body["nodes"]) == 500
    drawn = {node["id"] for node in body["nodes"]}
    assert all({edge["source"], edge["target"]} <= drawn for edge in body["edges"])


def test_the_timeline_has_the_started_tasks_in_order_of_start(
    api: Client, workflow: Workflow, make_task: MakeTask
) -> None:
    make_task(workflow, "late", name="b", status="RUNNING", started_at=START + timedelta(1))
    make_task(
        workflow, "early", name="a", status="SUCCESSFUL", started_at=START,
        finished_at=START + timedelta(seconds=1), duration_ms=1000,
    )  # fmt: skip
    make_task(workflow, "waiting", name="c")
    body = api.get(URL + "timeline/").json()
    assert [bar["task_id"] for bar in body["items"]] == ["early", "late"]
    assert body["items"][0]["duration_ms"] == 1000
    assert body["items"][1]["finished_at"] is None
    assert body["now"].endswith("Z")
    first = api.get(URL + "timeline/", {"limit": 1}).json()
    rest = api.get(URL + "timeline/", {"limit": 1, "cursor": first["page"]["next"]}).json()
    assert [bar["task_id"] for bar in rest["items"]] == ["late"]
