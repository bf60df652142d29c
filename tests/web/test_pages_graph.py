"""The graph and the timeline: by name, around a task, every task; what the drawings are made of."""

from __future__ import annotations

import base64
from array import array
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web import factories
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from workflows_app.models import Task, TaskAttempt, Workflow, WorkflowEvent

pytestmark = pytest.mark.django_db

GRAPH = "/workflows/one/graph/"


def unpacked(text: str, kind: str = "i") -> list[float]:
    return list(array(kind, base64.b64decode(text)))


@pytest.fixture
def owner() -> Workflow:
    """load → 70 times fit → report, of which one fit has failed and one runs."""
    row = factories.workflow("one", "RUNNING")
    factories.tasks(
        row, [("load", 1, "SUCCESSFUL"), ("fit", 70, "SUCCESSFUL"), ("report", 1, "PENDING")]
    )
    fits = list(row.tasks.filter(name="fit").order_by("id"))
    Task.objects.filter(pk=fits[40].pk).update(status="FAILED")
    Task.objects.filter(pk=fits[50].pk).update(status="RUNNING", duration_ms=None, finished_at=None)
    row.refresh_from_db()
    return row


@pytest.fixture
def client(operator: User) -> Client:
    return signed_in(operator)


def rows(text: str, prefix: str) -> list[str]:
    return [
        str(a["id"])
        for tag, a in check_markup(text).tags
        if tag == "tr" and str(a.get("id", "")).startswith(prefix)
    ]


def test_a_name_opens_its_tasks_the_urgent_ones_first(client: Client, owner: Workflow) -> None:
    text = text_of(client.get(GRAPH, {"open": "fit"}))
    shown = rows(text, "m")
    assert len(shown) == 50
    found = Task.objects.in_bulk([int(each[1:]) for each in shown])
    assert [found[int(each[1:])].status for each in shown[:3]] == [
        "FAILED",
        "RUNNING",
        "SUCCESSFUL",
    ]
    assert "50 of 70" in text
    assert rows(text_of(client.get(GRAPH, {"open": "nothing"})), "m") == []


def test_around_a_task_are_its_neighbours_drawn_and_in_a_table(
    client: Client, owner: Workflow
) -> None:
    text = text_of(client.get(GRAPH, {"task": "load", "steps": "1"}))
    assert check_markup(text).faults == []
    assert text.count('class="node ') == len(rows(text, "n")) == 71
    whole = text_of(client.get(GRAPH, {"task": "report", "steps": "2"}))
    assert len(rows(whole, "n")) == 72
    assert client.get(GRAPH, {"task": "nobody"}).status_code == 404
    assert client.get(GRAPH, {"task": "load", "steps": HOSTILE}).status_code == 200


def test_every_task_has_a_place_an_edge_and_a_status(client: Client, owner: Workflow) -> None:
    told = client.get(f"{GRAPH}data/").json()
    assert len(told["ids"]) == len(told["statuses"]) == len(unpacked(told["xs"], "f")) == 72
    assert (
        told["statuses"].count("f")
        == told["statuses"].count("r")
        == told["statuses"].count("p")
        == 1
    )
    assert len(unpacked(told["edges"])) == 2 * 140
    names = [told["titles"][int(n)] for n in unpacked(told["names"])]
    assert names == list(owner.tasks.order_by("id").values_list("name", flat=True))


def test_only_what_changed_is_asked_for_again(client: Client, owner: Workflow) -> None:
    Task.objects.filter(workflow=owner, name="report").update(status="RUNNING", changed_seq=9)
    with statements() as asked:
        told = client.get(f"{GRAPH}data/", {"after": "8"}).json()
    assert told["changed"] == {"report": "r"}
    assert told["total"] == 72
    assert len(asked) <= 6


def test_a_workflow_too_large_to_draw_says_so(client: Client, owner: Workflow) -> None:
    Workflow.objects.filter(pk=owner.pk).update(tasks_total=100_001)
    assert "Too many tasks" in text_of(client.get(GRAPH, {"view": "all"}))
    assert client.get(f"{GRAPH}data/").status_code == 400
    assert client.get("/workflows/one/timeline/data/").status_code == 400


def test_the_timeline_tells_waiting_attempts_and_checkpoints(client: Client) -> None:
    row = factories.workflow("one", "RUNNING")
    start = row.started_at
    assert start is not None

    def at(milliseconds: int) -> dict[str, object]:
        return {"started_at": start + timedelta(milliseconds=milliseconds)}

    def ended(milliseconds: int) -> dict[str, object]:
        return {"finished_at": start + timedelta(milliseconds=milliseconds)}

    Task.objects.create(
        workflow=row,
        task_id="a",
        name="load",
        status="SUCCESSFUL",
        attempt=1,
        **at(0),
        **ended(100),
    )
    second = Task.objects.create(
        workflow=row,
        task_id="b",
        name="fit",
        status="RUNNING",
        attempt=2,
        upstream=["a"],
        **at(400),
    )
    Task.objects.create(workflow=row, task_id="c", name="fit")
    TaskAttempt.objects.create(task=second, number=1, status="FAILED", **at(150), **ended(200))
    TaskAttempt.objects.create(task=second, number=2, status="RUNNING", **at(400))
    saved = start + timedelta(milliseconds=130)
    WorkflowEvent.objects.create(workflow=row, seq=5, kind="succeeded", task_id="a", time=saved)
    Workflow.objects.filter(pk=row.pk).update(tasks_total=3)
    told = client.get("/workflows/one/timeline/data/").json()
    assert told["ids"] == ["a", "b"]
    assert unpacked(told["begin"]) == [0, 400]
    assert unpacked(told["end"]) == [100, -1]
    assert unpacked(told["ready"]) == [0, 100]
    assert unpacked(told["saved"]) == [130, -1]
    assert unpacked(told["tries"]) == [1, 150, 200]


@pytest.mark.parametrize(
    "path",
    [
        GRAPH,
        f"{GRAPH}?view=all",
        "/workflows/one/timeline/",
        f"{GRAPH}data/",
        "/workflows/one/timeline/data/",
    ],
)
def test_a_workflow_without_tasks_has_an_empty_graph(path: str, client: Client) -> None:
    factories.workflow("one", "PENDING")
    answer = client.get(path)
    assert answer.status_code == 200
