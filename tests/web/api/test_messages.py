"""POST …/signals/{name}/, …/tasks/{id}/answer/ and /event/send_event/…"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient, Client

from tests.web.api.checks import assert_problem, pointers
from tests.web.api.conftest import ClientFor, MakeWorkflow
from tests.web.fake_gateway import FakeGateway
from tests.web.worker import deliver
from workflows_app import tokens
from workflows_app.api import messages
from workflows_app.models import AuditEntry, Command, Workflow

SIGNAL = "/api/v1/workflows/etl/signals/go/"
ANSWER = "/api/v1/workflows/etl/tasks/{}/answer/"
EVENT = "/event/send_event/etl"


def post(client: Client, url: str, body: Any, **headers: str) -> Any:
    return client.post(url, data=json.dumps(body), content_type="application/json", headers=headers)


@pytest.mark.parametrize("payload", [{"a": [1, None]}, [1], "text", 3, None, True])
def test_a_signal_is_accepted_with_any_json(
    api: Client, make_workflow: MakeWorkflow, payload: Any
) -> None:
    make_workflow("etl")
    answer = post(api, SIGNAL, payload)
    assert answer.status_code == 202
    command = Command.objects.get()
    assert (command.kind, command.payload["payload"], command.payload["name"]) == (
        "tell",
        payload,
        "go",
    )
    assert AuditEntry.objects.get(verb="signal").target == "etl"


def test_messages_do_not_wait_for_each_other_or_for_other_commands(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    assert post(api, "/api/v1/workflows/etl/actions/cancel/", {}).status_code == 202
    assert [post(api, SIGNAL, n).status_code for n in range(3)] == [202] * 3


def test_a_repeated_signal_with_its_key_is_one(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    first, second = (post(api, SIGNAL, 1, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == second.json()
    assert Command.objects.get().payload["key"] == "k"


@pytest.mark.parametrize("status", ["SUCCESSFUL", "FAILED", "CANCELED"])
def test_a_workflow_that_has_ended_is_told_nothing(
    api: Client, make_workflow: MakeWorkflow, status: str
) -> None:
    make_workflow("etl", status=status)
    for url, body in ((SIGNAL, 1), (ANSWER.format("a"), {"approved": True})):
        problem = assert_problem(post(api, url, body), 409, "state_conflict")
        assert status in problem["detail"]
    assert not Command.objects.exists()


def test_an_answer_needs_a_decision(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    problem = assert_problem(
        post(api, ANSWER.format("ask"), {"payload": 1}), 400, "validation_error"
    )
    assert pointers(problem) == ["/approved"]
    assert post(api, ANSWER.format("ask"), {"approved": False}).status_code == 202
    assert Command.objects.get().payload["payload"] == {"approved": False, "answer": None}


def test_only_those_who_may_send_messages(
    client_for: ClientFor, viewer: User, operator: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    for url in (SIGNAL, ANSWER.format("a"), EVENT):
        problem = assert_problem(
            post(client_for(viewer), url, {"approved": True}), 403, "forbidden"
        )
        assert "signal_workflow" in problem["detail"]
    assert post(client_for(operator, "read"), SIGNAL, 1).status_code == 403
    assert_problem(post(Client(), SIGNAL, 1), 401, "unauthenticated")
    assert post(client_for(operator), SIGNAL, 1).status_code == 202


def test_an_unknown_workflow_is_not_found(api: Client) -> None:
    assert_problem(post(api, SIGNAL, 1), 404, "not_found")
    event = {"event_key": "k", "event_payload": 1}
    assert_problem(post(api, EVENT, event), 404, "not_found")


@pytest.mark.parametrize(
    "body", [[], 3, {}, {"event_key": "k"}, {"event_payload": 1}, {"event_key": 3, "event_payload": 1},
             {"event_key": "", "event_payload": 1}]
)  # fmt: skip
def test_an_event_needs_its_key_and_payload(
    api: Client, make_workflow: MakeWorkflow, body: Any
) -> None:
    make_workflow("etl")
    assert_problem(post(api, EVENT, body), 400, "validation_error")
    assert not Command.objects.exists()


def test_an_event_that_no_worker_records_in_time_stays_and_says_so(
    api: Client, make_workflow: MakeWorkflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_workflow("etl")
    monkeypatch.setattr(messages, "EVENT_SECONDS", 0.2)
    problem = assert_problem(
        post(api, EVENT, {"event_key": "k", "event_payload": 1}), 503, "unavailable"
    )
    assert str(Command.objects.get().pk) in problem["detail"]


@pytest.fixture
def worker(transactional_db: None, engine: FakeGateway) -> Iterator[FakeGateway]:
    """A Celery worker that carries commands out as they come, in a thread of its own."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            deliver()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield engine
    stop.set()
    thread.join()


@pytest.mark.usefixtures("empty_queue")
async def test_an_event_is_answered_when_it_is_recorded(worker: FakeGateway) -> None:
    _, plain = await _in_thread(
        lambda: tokens.create(User.objects.create_superuser("root"), "t", scope="write")
    )
    await _in_thread(lambda: worker.launch(workflow_id="etl", definition="d"))
    await _in_thread(_row)
    client, bearer = AsyncClient(), {"Authorization": f"Bearer {plain}"}
    event = {"event_key": "k", "event_payload": {"n": 1}}
    answer = await client.post(
        EVENT, data=json.dumps(event), content_type="application/json", headers=bearer
    )
    assert (answer.status_code, answer.json()) == (200, {})
    record = worker.journals["etl"][-1]
    assert (record.kind, record.data["channel"], record.data["key"]) == ("signaled", "event/k", "k")
    assert record.data["by"] == "root"
    bad = await client.post(
        ANSWER.format("nobody-asks"),
        data='{"approved": true}',
        content_type="application/json",
        headers=bearer,
    )
    operation = bad.json()["operation"]["id"]
    done = await client.get(f"/api/v1/operations/{operation}/", {"wait": "10"}, headers=bearer)
    assert done.json()["state"] == "FAILED"
    assert done.json()["problem"]["code"] == "unknown_approval"


def _row() -> None:
    from django.utils import timezone

    now = timezone.now()
    Workflow.objects.create(workflow_id="etl", status="RUNNING", created_at=now, changed_at=now)


async def _in_thread(act: Any) -> Any:
    from asgiref.sync import sync_to_async

    return await sync_to_async(act)()
