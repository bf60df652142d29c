"""Counts and facets of a query, comparisons, task groups and ETags."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web import factories
from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app import queries
from workflows_app.api import counts
from workflows_app.models import Workflow

API = "/api/v1/"


@pytest.fixture
def some(make_workflow: MakeWorkflow) -> None:
    """Seven workflows of two definitions."""
    for n in range(7):
        make_workflow(
            status="FAILED" if n % 3 == 0 else "SUCCESSFUL",
            definition=f"d{n % 2}",
            created_by="ada",
        )


def test_a_count_is_capped_or_exact(
    api: Client, some: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(**query: str) -> Any:
        return api.get(f"{API}workflow-counts/", query).json()

    assert count(q="status:FAILED") == {"value": 3, "relation": "eq"}
    monkeypatch.setattr(queries.capped_count, "__defaults__", (2,))
    assert count() == {"value": 2, "relation": "gte"}
    assert count(exact="true", definition="d0") == {"value": 4, "relation": "eq"}
    assert_problem(api.get(f"{API}workflow-counts/?q=bad:1"), 400, "bad_query")


def test_a_count_that_takes_too_long_is_given_up(
    api: Client, some: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: Any) -> int:
        # What a count over very many rows does, made of few.
        rows = Workflow.objects.raw(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
            " SELECT count(*) AS id FROM n"
        )
        return len(list(rows))

    monkeypatch.setattr(counts, "EXACT_SECONDS", 0.2)
    monkeypatch.setattr("django.db.models.query.QuerySet.count", slow)
    problem = assert_problem(
        api.get(f"{API}workflow-counts/?exact=true"), 422, "count_too_expensive"
    )
    assert "narrow the query" in problem["detail"]


def test_facets_say_how_the_matching_workflows_spread(api: Client, some: None) -> None:
    found = api.get(f"{API}workflow-facets/", {"definition": "d0"}).json()
    assert found["status"] == {"FAILED": 2, "SUCCESSFUL": 2}
    assert found["definition"] == {"d0": 4}
    assert found["created_by"] == {"ada": 4}
    assert found["looked_at"] == {"value": 4, "relation": "eq"}


def test_two_workflows_are_compared(api: Client) -> None:
    one = factories.workflow("one", params={"folds": 5, "grid": [1, 2]}, tags={"team": "ml"})
    two = factories.workflow("two", "FAILED", params={"folds": 7, "grid": [1, 3]}, tags={})
    factories.tasks(one, [("load", 1, "SUCCESSFUL"), ("fit", 3, "SUCCESSFUL")])
    factories.tasks(two, [("load", 1, "SUCCESSFUL"), ("fit", 2, "FAILED"), ("more", 1, "PENDING")])
    found = api.get(f"{API}compare/", {"a": "one", "b": "two"}).json()
    assert (found["a"]["workflow_id"], found["b"]["status"]) == ("one", "FAILED")
    assert found["params"] == [
        {"pointer": "/folds", "a": 5, "b": 7},
        {"pointer": "/grid/1", "a": 2, "b": 3},
    ]
    assert found["tags"] == [{"pointer": "/team", "a": "ml", "b": None}]
    names = {group["name"]: group for group in found["task_groups"]}
    assert (names["fit"]["a"]["successful"], names["fit"]["b"]["failed"]) == (3, 2)
    assert names["more"]["a"] is None
    assert found["only_in_a"] == {"count": {"value": 1, "relation": "eq"}, "items": ["fit_2"]}
    assert found["only_in_b"]["items"] == ["more"]
    assert found["first_divergence"] == {
        "task_id": "fit", "name": "fit", "a": "SUCCESSFUL", "b": "FAILED",
    }  # fmt: skip
    assert_problem(api.get(f"{API}compare/", {"a": "one", "b": "nobody"}), 404, "not_found")
    assert_problem(api.get(f"{API}compare/", {"a": "one"}), 400, "bad_query")


def test_a_comparison_hides_parameters(client_for: ClientFor, viewer: User) -> None:
    factories.workflow("one", params={"secret": 1})
    factories.workflow("two", params={"secret": 2})
    found = client_for(viewer).get(f"{API}compare/", {"a": "one", "b": "two"}).json()
    assert found["params"] is None


def test_task_groups_tell_the_progress_by_name(api: Client) -> None:
    factories.tasks(factories.workflow("one"), [("fit", 3, "SUCCESSFUL"), ("score", 2, "PENDING")])
    first, second = api.get(f"{API}workflows/one/task-groups/").json()["items"]
    assert (first["name"], first["successful"], second["pending"]) == ("fit", 3, 2)
    assert first["p50_ms"] <= first["p95_ms"]
    assert second["p50_ms"] is None


def test_a_workflow_has_a_tag_that_changes_with_it(api: Client) -> None:
    made = factories.workflow("one", "RUNNING")
    url = f"{API}workflows/one/"
    tag = api.get(url).headers["ETag"]
    assert api.get(url, headers={"If-None-Match": tag}).status_code == 304
    Workflow.objects.filter(pk=made.pk).update(event_seq=2)
    assert api.get(url, headers={"If-None-Match": tag}).status_code == 200
    for verb in ("cancel", "suspend"):
        answer = api.post(
            f"{url}actions/{verb}/", "", content_type="application/json", headers={"If-Match": tag}
        )
        assert "read it again" in assert_problem(answer, 412, "stale")["detail"]
    assert_problem(api.delete(url, headers={"If-Match": tag}), 412, "stale")
    new = api.get(url).headers["ETag"]
    assert (
        api.post(
            f"{url}actions/cancel/", "", content_type="application/json", headers={"If-Match": new}
        ).status_code
        == 202
    )
