"""Callers with tokens, and rows as the follower would have written them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from workflows_app import tokens
from workflows_app.models import Definition, Task, Workflow

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

ClientFor = Callable[..., Client]
MakeWorkflow = Callable[..., Workflow]
MakeTask = Callable[..., Task]


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    """Throttles and graph summaries live in the cache; no test starts with another one's."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def client_for() -> ClientFor:
    """A client that sends a new token of this user; a 500 is answered, not raised."""

    def make(user: User, scope: str = "write") -> Client:
        _, plain = tokens.create(user, "test", scope=scope)
        headers = {"Authorization": f"Bearer {plain}"}
        return Client(raise_request_exception=False, headers=headers)

    return make


@pytest.fixture
def api(client_for: ClientFor, administrator: User) -> Client:
    """A caller who may do everything."""
    return client_for(administrator, "admin")


@pytest.fixture
def make_workflow(db: None) -> MakeWorkflow:
    """Write a workflow row; each call is a minute younger than the one before."""
    made = iter(range(10_000))

    def make(workflow_id: str = "", **fields: Any) -> Workflow:
        number = next(made)
        moment = START + timedelta(minutes=number)
        known = {"status": "RUNNING", "created_at": moment, "changed_at": moment}
        return Workflow.objects.create(
            workflow_id=workflow_id or f"run-{number}", **{**known, **fields}
        )

    return make


@pytest.fixture
def make_task(db: None) -> MakeTask:
    """Write a task row."""

    def make(workflow: Workflow, task_id: str, **fields: Any) -> Task:
        return Task.objects.create(workflow=workflow, task_id=task_id, **fields)

    return make


@pytest.fixture
def definition(db: None) -> Definition:
    """A definition with one bounded and one required parameter."""
    schema = {
        "type": "object",
        "properties": {
            "folds": {"type": "integer", "minimum": 2, "default": 5},
            "label": {"type": "string"},
        },
        "required": ["label"],
        "additionalProperties": False,
    }
    return Definition.objects.create(
        name="training", description="Trains.", module="examples.training", params_schema=schema
    )
