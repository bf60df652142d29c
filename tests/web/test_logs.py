"""What is logged: requests and commands, with the ids that belong together, and no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog
from django.contrib.auth.models import User
from django.test import Client

from rayflow_web import logs
from tests.web.fake_gateway import FakeGateway
from tests.web.stories import begin
from tests.web.worker import deliver
from workflows_app import log_context, tokens
from workflows_app.follower import Follower


@pytest.fixture
def stream() -> Iterator[StringIO]:
    """What a handler as the settings make it writes, as JSON."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter("json"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.contextvars.clear_contextvars()
    yield written
    structlog.contextvars.clear_contextvars()
    root.removeHandler(handler)
    root.setLevel(before)


def lines(stream: StringIO, logger: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in found if line["logger"] == logger]


@pytest.mark.django_db(transaction=True)
def test_a_request_its_command_and_its_workflow_are_tied_together(
    operator: User, engine: FakeGateway, empty_queue: None, stream: StringIO
) -> None:
    begin(engine, "w1")
    Follower(engine).follow(["w1"])
    secret = tokens.create(operator, "t", scope="write")[1]
    client = Client(headers={"Authorization": f"Bearer {secret}", "X-Request-ID": "req-1"})
    answer = client.post(
        "/api/v1/workflows/w1/actions/cancel/", "", content_type="application/json"
    )
    assert answer.status_code == 202
    log_context._begin(task=Task)  # as Celery does with the message's headers
    deliver()
    (asked,) = lines(stream, "rayflow.requests")
    assert (asked["request_id"], asked["workflow_id"], asked["status"]) == ("req-1", "w1", 202)
    (done,) = lines(stream, "workflows_app.services.execution")
    assert done["workflow_id"] == "w1"
    assert done["command_id"] == answer.json()["operation"]["id"]
    assert done["request_id"] == "req-1"
    assert secret not in stream.getvalue()


class Request:
    """The request of a Celery task."""

    headers = {log_context.HEADER: "req-1"}


class Task:
    """A Celery task."""

    name = "workflows_app.run_command"
    request = Request()


def test_a_password_is_never_logged(db: None, operator: User, stream: StringIO) -> None:
    Client().post("/login/", {"username": "omar", "password": "omar-password"})
    Client().post("/login/", {"username": "omar", "password": "wrong-password"})
    assert "password" not in stream.getvalue().replace("/login/", "")


def test_a_line_for_people_holds_the_same(stream: StringIO) -> None:
    record = logging.LogRecord("a.b", logging.WARNING, "f.py", 1, "mind the %s", ("gap",), None)
    record.workflow_id = "w1"
    line = logs.formatter("line").format(record)
    assert line.split(" ", 1)[1] == "WARNING a.b mind the gap workflow_id=w1"
