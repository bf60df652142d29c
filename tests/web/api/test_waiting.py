"""Long-polls: …/status/?wait= and operations/{id}/?wait=."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient, Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import MakeWorkflow
from workflows_app import tokens
from workflows_app.api import waiting
from workflows_app.models import Command, Workflow

STATUS = "/api/v1/workflows/etl/status/"


def test_the_status_is_small(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl", event_seq=3, tasks_total=2, tasks_running=2)
    body = api.get(STATUS).json()
    assert body["workflow_id"] == "etl"
    assert body["status"] == "RUNNING"
    assert body["event_seq"] == 3
    assert body["tasks"]["running"] == 2
    assert "params" not in body


@pytest.mark.parametrize("status", ["SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED"])
def test_nobody_waits_for_what_has_happened(
    api: Client, make_workflow: MakeWorkflow, status: str
) -> None:
    make_workflow("etl", status=status)
    before = time.monotonic()
    assert api.get(STATUS, {"wait": "30", "until": "terminal"}).json()["status"] == status
    assert time.monotonic() - before < 5


def test_the_wait_ends_after_the_callers_patience(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    before = time.monotonic()
    assert api.get(STATUS, {"wait": "0.2"}).json()["status"] == "RUNNING"
    assert time.monotonic() - before >= 0.2


@pytest.mark.parametrize("query", [{"wait": -1}, {"wait": "long"}, {"until": "x"}, {"wait": "nan"}])
def test_a_wait_that_is_none_is_refused(
    api: Client, make_workflow: MakeWorkflow, query: dict[str, Any]
) -> None:
    make_workflow("etl")
    assert_problem(api.get(STATUS, query), 400, "bad_query")


def test_more_than_thirty_seconds_count_as_thirty() -> None:
    response = waiting.Patient({}, look=dict, is_over=lambda data: False, seconds=1e9)
    assert response.deadline - time.monotonic() <= 30


def test_waiting_for_an_unknown_workflow_is_not_found_at_once(api: Client) -> None:
    assert_problem(api.get(STATUS, {"wait": "30"}), 404, "not_found")
    url = "/api/v1/operations/5f3c6f0e-6c1b-4a55-9d0e-0c6a4b9f2f11/"
    assert_problem(api.get(url, {"wait": 30}), 404, "not_found")
    assert_problem(api.get("/api/v1/operations/not-an-id/"), 404, "not_found")


def test_waiting_needs_an_account(client: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("etl")
    assert_problem(client.get(STATUS, {"wait": 30}), 401, "unauthenticated")


def test_beyond_the_number_of_waiters_the_answer_comes_at_once(
    api: Client, make_workflow: MakeWorkflow, settings: Any
) -> None:
    make_workflow("etl")
    settings.API_MAX_WAITERS = 0
    before = time.monotonic()
    assert api.get(STATUS, {"wait": "30"}).json()["status"] == "RUNNING"
    assert time.monotonic() - before < 5


@pytest.fixture
def bearer(transactional_db: None) -> dict[str, str]:
    """The header of a caller who may do everything; committed, for other threads to see."""
    # A transactional test begins with empty tables: the roles that migrations made are gone.
    _, plain = tokens.create(User.objects.create_superuser("root"), "waiter")
    return {"Authorization": f"Bearer {plain}"}


async def elsewhere(act: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    """Use the database in a thread of its own, and leave no connection behind."""

    def in_thread() -> Any:
        try:
            return act(*args, **fields)
        finally:
            connection.close()

    return await asyncio.to_thread(in_thread)


async def begin(url: str, query: dict[str, Any], bearer: dict[str, str]) -> asyncio.Task[Any]:
    """Make a request and return when it waits."""
    request = asyncio.ensure_future(AsyncClient().get(url, query, headers=bearer))
    deadline = time.monotonic() + 10
    while waiting.waiters.count == 0:
        assert not request.done(), request.result().content
        assert time.monotonic() < deadline, "the request does not wait"
        await asyncio.sleep(0.01)
    return request


async def finish(request: asyncio.Task[Any], change: Callable[[], Any]) -> Any:
    """Change the registry as the follower would, from elsewhere, and return the answer."""
    assert not request.done()
    await elsewhere(change)
    answer = await asyncio.wait_for(request, 10)
    assert waiting.waiters.count == 0
    return answer


async def test_the_end_of_a_workflow_ends_the_wait(
    bearer: dict[str, str], make_workflow: MakeWorkflow
) -> None:
    rows = Workflow.objects.filter(pk=(await elsewhere(make_workflow, "etl")).pk)
    request = await begin(STATUS, {"wait": 30, "until": "terminal"}, bearer)
    answer = await finish(request, lambda: rows.update(status="SUCCESSFUL", event_seq=9))
    assert answer.json()["status"] == "SUCCESSFUL"


async def test_any_new_event_ends_the_wait_for_a_change(
    bearer: dict[str, str], make_workflow: MakeWorkflow
) -> None:
    rows = Workflow.objects.filter(pk=(await elsewhere(make_workflow, "etl")).pk)
    request = await begin(STATUS, {"wait": 30, "until": "change"}, bearer)
    answer = await finish(request, lambda: rows.update(event_seq=2))
    assert answer.json()["event_seq"] == 2
    assert answer.json()["status"] == "RUNNING"


async def test_a_command_that_is_outstanding_is_waited_for(
    bearer: dict[str, str], make_workflow: MakeWorkflow
) -> None:
    made = await elsewhere(make_workflow, "etl", status="FAILED", pending_command="resume")
    rows = Workflow.objects.filter(pk=made.pk)
    request = await begin(STATUS, {"wait": 30}, bearer)
    answer = await finish(request, lambda: rows.update(status="SUCCESSFUL", pending_command=None))
    assert answer.json()["status"] == "SUCCESSFUL"


async def test_a_workflow_deleted_during_the_wait_is_not_found(
    bearer: dict[str, str], make_workflow: MakeWorkflow
) -> None:
    rows = Workflow.objects.filter(pk=(await elsewhere(make_workflow, "etl")).pk)
    answer = await finish(await begin(STATUS, {"wait": 30}, bearer), rows.delete)
    assert_problem(answer, 404, "not_found")


async def test_the_end_of_an_operation_ends_the_wait(bearer: dict[str, str]) -> None:
    command = await elsewhere(Command.objects.create, kind="cancel", workflow_id="etl")
    rows = Command.objects.filter(pk=command.pk)
    request = await begin(f"/api/v1/operations/{command.pk}/", {"wait": 30}, bearer)
    failed = {"state": "FAILED", "problem": {"code": "x", "detail": "y"}}
    answer = await finish(request, lambda: rows.update(**failed))
    assert answer.json()["state"] == "FAILED"
    assert answer.json()["problem"] == failed["problem"]


async def test_a_caller_who_hangs_up_leaves_the_place_free(
    bearer: dict[str, str], make_workflow: MakeWorkflow
) -> None:
    await elsewhere(make_workflow, "etl")
    request = await begin(STATUS, {"wait": 30}, bearer)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    deadline = time.monotonic() + 10
    while waiting.waiters.count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
