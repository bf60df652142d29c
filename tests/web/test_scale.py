"""How pages and API ask the database: a constant number of statements, by index, never counting a table.

The times at full size are measured by ``make scale``.
"""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tests.scale.statements import COMBINATIONS, captured, mistakes, scans
from tests.web.pages import signed_in
from workflows_app import projection, queries, seeding
from workflows_app.models import Task, Workflow, WorkflowEvent

LIST = "/api/v1/workflows/"
PAGES = (
    "/", "/workflows/", "/workflows/seed-large/", "/workflows/seed-large/tasks/",
    "/workflows/seed-large/events/", "/workflows/seed-0000001/", "/actors/", "/bulk/",
)  # fmt: skip


@pytest.fixture
def seeded(db: None) -> None:
    cache.clear()
    seeding.seed(2_000, timezone.now(), large=300)


def test_the_same_command_makes_the_same_rows(db: None) -> None:
    call_command("seed_registry", workflows=200)
    assert Workflow.objects.count() == 200
    assert Task.objects.filter(workflow__workflow_id="seed-0000007").count() == 3
    assert WorkflowEvent.objects.filter(workflow__workflow_id="seed-0000007").count() == 4
    assert (
        queries.overview()["counts"]["FAILED"]
        == Workflow.objects.filter(status="FAILED").count()
        == 10
    )
    added = Workflow.objects.create(
        workflow_id="after", created_at=timezone.now(), changed_at=timezone.now()
    )
    assert added.pk == 201
    with pytest.raises(CommandError, match="has workflows already"):
        call_command("seed_registry", workflows=1)


def test_a_registry_that_is_followed_is_not_filled(db: None) -> None:
    projection.note_follower(heartbeat_at=timezone.now())
    with pytest.raises(CommandError, match="A follower works on this registry"):
        call_command("seed_registry", workflows=1)
    assert not Workflow.objects.exists()


@pytest.mark.parametrize("parameters", COMBINATIONS, ids=str)
def test_a_list_is_answered_from_an_index(
    seeded: None, administrator: User, parameters: dict[str, str]
) -> None:
    client = signed_in(administrator)
    numbers = set()
    for limit in (25, 200):
        query = {**parameters, "limit": limit}
        client.get(LIST, query)
        answer, statements = captured(lambda query=query: client.get(LIST, query))
        assert answer.status_code == 200
        numbers.add(len(statements))
        assert list(mistakes(statements)) == []
        _no_scans(statements, parameters)
        if cursor := answer.json()["page"]["next"]:
            query["cursor"] = cursor
            _, statements = captured(lambda query=query: client.get(LIST, query))
            assert list(mistakes(statements)) == []
            _no_scans(statements, parameters)
    assert len(numbers) == 1
    assert numbers.pop() <= 8


def _no_scans(statements: list[str], parameters: dict[str, str]) -> None:
    """SQLite has no index for what is inside tags, and none for parts of ids."""
    needs_postgresql = any(
        text in parameters.get("q", "") for text in ("tag.", "seed-0000777", "like")
    )
    if connection.vendor == "sqlite" and not needs_postgresql:
        assert list(scans(statements)) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_the_same_however_much_there_is(
    seeded: None, administrator: User, path: str
) -> None:
    client = signed_in(administrator)
    client.get(path)
    answer, statements = captured(lambda: client.get(path))
    assert answer.status_code == 200
    assert len(statements) <= 12
    assert list(mistakes(statements)) == []
