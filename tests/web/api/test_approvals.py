"""What waits for an answer, in all workflows."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.web.fake_gateway import START, FakeGateway
from tests.web.stories import begin
from workflows_app.follower import Follower
from workflows_app.models import Task

URL = "/api/v1/approvals/"
WAIT = {"kind": "approval", "title": "Pay?", "assignees": ["ada"], "schema": {"type": "object"}}


@pytest.fixture
def asked(db: None, engine: FakeGateway) -> FakeGateway:
    """A workflow whose task asks for an approval, and one whose task waits for a signal."""
    for workflow_id, wait in (("w1", WAIT), ("w2", {"kind": "signal"})):
        begin(engine, workflow_id)
        engine.write(workflow_id, "task", "ask", name="ask", options={"wait": wait})
        engine.write(workflow_id, "waiting", "ask", until=START + 3600)
    Follower(engine).follow(["w1", "w2"])
    return engine


def test_open_approvals_are_listed_until_they_are_answered(api: Client, asked: FakeGateway) -> None:
    (found,) = api.get(URL).json()["items"]
    assert (found["workflow_id"], found["task_id"], found["title"]) == ("w1", "ask", "Pay?")
    assert (found["assignees"], found["schema"]) == (["ada"], {"type": "object"})
    assert found["deadline"] > found["asked_at"]
    assert found["answer"] == "/api/v1/workflows/w1/tasks/ask/answer/"
    task = api.get("/api/v1/workflows/w1/tasks/ask/").json()
    assert (task["waits_for"], task["waiting_since"]) == ("approval", found["asked_at"])
    asked.write("w1", "succeeded", "ask", 1, started_at=START, finished_at=START + 1)
    Follower(asked).follow(["w1"])
    assert api.get(URL).json()["items"] == []
    assert Task.objects.get(workflow__workflow_id="w1", task_id="ask").waiting_since is None


def test_who_is_canceled_asks_no_more(api: Client, asked: FakeGateway) -> None:
    asked.cancel("w1")
    Follower(asked).follow(["w1"])
    assert api.get(URL).json()["items"] == []
