"""GET …/events/: the history of a workflow."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import START, ClientFor, MakeWorkflow
from workflows_app.models import WorkflowEvent

URL = "/api/v1/workflows/etl/events/"


@pytest.fixture(autouse=True)
def ten_events(make_workflow: MakeWorkflow) -> None:
    """A workflow with the events 1 to 10."""
    workflow = make_workflow("etl", event_seq=10)
    WorkflowEvent.objects.bulk_create(
        WorkflowEvent(
            workflow=workflow, seq=n, time=START, kind="started", task_id="fit", attempt=n,
            data={"token": "secret"},
        )
        for n in range(1, 11)
    )  # fmt: skip


def read(api: Client, **query: Any) -> tuple[list[int], int, bool]:
    body = api.get(URL, query).json()
    return [item["seq"] for item in body["items"]], body["last_seq"], body["more"]


def test_events_are_read_on_from_a_sequence_number(api: Client) -> None:
    assert read(api) == (list(range(1, 11)), 10, False)
    assert read(api, limit=4) == ([1, 2, 3, 4], 4, True)
    assert read(api, limit=4, after_seq=4) == ([5, 6, 7, 8], 8, True)
    assert read(api, limit=4, after_seq=8) == ([9, 10], 10, False)
    assert read(api, after_seq=10) == ([], 10, False)


def test_an_event_has_its_kind_task_and_data(api: Client) -> None:
    assert api.get(URL, {"limit": 1}).json()["items"] == [
        {
            "seq": 1, "time": "2026-01-01T12:00:00.000000Z", "kind": "started",
            "task_id": "fit", "attempt": 1, "data": {"token": "secret"},
        }
    ]  # fmt: skip


@pytest.mark.parametrize("after", ["-1", "x", "9" * 30, "1.5"])
def test_a_number_that_is_none_is_refused(api: Client, after: str) -> None:
    assert_problem(api.get(URL, {"after_seq": after}), 400, "bad_query")


def test_data_is_hidden_from_who_may_not_see_values(client_for: ClientFor, viewer: User) -> None:
    answer = client_for(viewer).get(URL)
    assert len(answer.json()["items"]) == 10
    assert b"secret" not in answer.content
