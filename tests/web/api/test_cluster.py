"""GET cluster/, /healthz and /readyz."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor
from workflows_app.api import health
from workflows_app.models import FollowerState

URL = "/api/v1/cluster/"


def test_before_the_first_beat_nothing_is_reachable(api: Client) -> None:
    body = api.get(URL).json()
    assert body["engine"]["reachable"] is False
    assert body["follower"]["alive"] is False
    assert body["follower"]["heartbeat_at"] is None


def test_a_fresh_follower_speaks_for_the_engine(api: Client) -> None:
    now = timezone.now()
    FollowerState.objects.update_or_create(
        id=1, defaults={"heartbeat_at": now, "engine_reachable": True, "detail": "engine up"}
    )
    body = api.get(URL).json()
    assert body["engine"] == {"reachable": True, "detail": "engine up"}
    assert body["follower"]["alive"] is True
    assert 0 <= body["follower"]["age_seconds"] < 15


def test_what_a_dead_follower_saw_last_does_not_count(api: Client) -> None:
    old = timezone.now() - timedelta(minutes=5)
    FollowerState.objects.update_or_create(
        id=1, defaults={"heartbeat_at": old, "engine_reachable": True}
    )
    body = api.get(URL).json()
    assert body["engine"]["reachable"] is False
    assert body["follower"]["alive"] is False
    assert body["follower"]["age_seconds"] >= 300


def test_the_cluster_is_not_for_everyone(client_for: ClientFor, nobody: User) -> None:
    problem = assert_problem(client_for(nobody).get(URL), 403, "forbidden")
    assert "view_cluster" in problem["detail"]


def test_the_health_check_needs_no_account_and_no_database(client: Client) -> None:
    # Without the `db` fixture any statement would fail.
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}
    assert "no-store" in answer.headers["Cache-Control"]


def test_the_server_is_ready_when_the_database_and_redis_answer(client: Client, db: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.content
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "redis": "ok"}}


def test_without_redis_the_server_is_not_ready(client: Client, db: None, settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    problem = assert_problem(client.get("/readyz"), 503, "not_ready")
    assert problem["checks"] == {"database": "ok", "redis": "ConnectionError"}
    assert problem["retryable"] is True


def test_without_the_database_the_server_is_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise DatabaseError("no database")

    monkeypatch.setitem(health.CHECKS, "database", broken)
    problem = assert_problem(client.get("/readyz"), 503, "not_ready")
    assert problem["checks"]["database"] == "DatabaseError"
