"""Odd ids through a real ASGI server: each addresses its own workflow, or is cleanly refused."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from django.contrib.auth.models import User
from django.db import connections

from tests.web.api.conftest import MakeTask, MakeWorkflow
from workflows_app import tokens

ODD_IDS = [
    "a/b", "a/b/tasks", "tasks", "..", ".", "a/../b", "/", "//", "ü", "日本語", "a b", "a%2Fb", "%",
    "a;2Fb", "a?b=c", "a#b", "a+b", "a\\b", "x" * 300, "ü" * 300, "a\nb", "status", "<script>",
]  # fmt: skip


class Server:
    """The project's ASGI application behind uvicorn, in a thread of this process."""

    def __init__(self) -> None:
        from rayflow_web.asgi import application

        config = uvicorn.Config(application, port=0, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.run(self.server.serve())
        connections.close_all()

    def __enter__(self) -> int:
        self.thread.start()
        deadline = time.monotonic() + 20
        while not self.server.started:
            assert time.monotonic() < deadline, "uvicorn does not start"
            time.sleep(0.01)
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port

    def __exit__(self, *exc_info: object) -> None:
        self.server.should_exit = True
        self.thread.join(20)


class Caller:
    """Sends exactly the path it is given: no client library tidies it up on the way."""

    def __init__(self, port: int, bearer: str) -> None:
        self.port = port
        self.headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}

    def __call__(self, method: str, path: str, body: str | None = None) -> tuple[int, Any, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, self.headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text), answer.getheader("Content-Type", "")
        finally:
            connection.close()


@pytest.fixture
def call(transactional_db: None) -> Iterator[Caller]:
    """A caller who may do everything, and a server to call."""
    _, plain = tokens.create(User.objects.create_superuser("root"), "caller", scope="admin")
    with Server() as port:
        yield Caller(port, plain)


def test_each_odd_id_addresses_its_own_workflow(
    call: Caller, make_workflow: MakeWorkflow, make_task: MakeTask
) -> None:
    for workflow_id in ODD_IDS:
        workflow = make_workflow(workflow_id, tags={"me": workflow_id})
        for task_id in ODD_IDS[:8]:
            make_task(workflow, task_id, name=workflow_id)
    for workflow_id in ODD_IDS:
        path = f"/api/v1/workflows/{quote(workflow_id, safe='')}/"
        status, body, _ = call("GET", path)
        assert (status, body.get("tags")) == (200, {"me": workflow_id}), (workflow_id, body)
        assert call("GET", path + "status/")[1]["workflow_id"] == workflow_id
        for task_id in ODD_IDS[:8]:
            status, body, _ = call("GET", f"{path}tasks/{quote(task_id, safe='')}/")
            assert (status, body["task_id"], body["name"]) == (200, task_id, workflow_id)
        status, body, _ = call("POST", path + "actions/cancel/")
        assert (status, body["operation"]["workflow_id"]) == (202, workflow_id)


def test_what_addresses_nothing_is_a_clean_problem(call: Caller) -> None:
    for workflow_id in [*ODD_IDS, "%00", "\ud7ff"]:
        path = f"/api/v1/workflows/{quote(workflow_id, safe='')}/"
        status, body, kind = call("GET", path)
        assert (status, kind) == (404, "application/problem+json"), (workflow_id, body)
    for raw in ("%00", "%ff", "%zz", "%", "a%2", "%c3%28", "//", "../me/", "a//b/"):
        status, body, kind = call("GET", f"/api/v1/workflows/{raw}/")
        assert status in (400, 404), (raw, body)
        assert kind == "application/problem+json"


def test_a_long_poll_holds_up_nobody_else(call: Caller, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    ended: list[float] = []

    def wait() -> None:
        call("GET", "/api/v1/workflows/etl/status/?wait=3")
        ended.append(time.monotonic())

    waiting = [threading.Thread(target=wait) for _ in range(8)]
    for thread in waiting:
        thread.start()
    assert call("GET", "/api/v1/me/")[0] == 200
    assert ended == []
    for thread in waiting:
        thread.join(30)
    assert len(ended) == 8
    assert max(ended) - min(ended) < 2


def test_a_body_without_a_length_is_refused_and_not_taken_for_an_empty_one(call: Caller) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", call.port, timeout=20)
    chunks = iter([b'{"definition": ', b'"training"}'])
    connection.request("POST", "/api/v1/workflows/", chunks, call.headers, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 411
    assert json.loads(answer.read())["code"] == "length_required"
    connection.close()
