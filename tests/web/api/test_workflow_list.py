"""GET /api/v1/workflows/: filters, order, pages."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import START, ClientFor, MakeWorkflow
from workflows_app import queries
from workflows_app.models import Definition
from workflows_app.queries import SORTS

URL = "/api/v1/workflows/"


def ids(api: Client, **query: Any) -> list[str]:
    answer = api.get(URL, query)
    assert answer.status_code == 200, answer.content
    return [item["workflow_id"] for item in answer.json()["items"]]


def test_the_newest_workflow_comes_first(api: Client, make_workflow: MakeWorkflow) -> None:
    for name in ("first", "second", "third"):
        make_workflow(name)
    body = api.get(URL).json()
    assert [item["workflow_id"] for item in body["items"]] == ["third", "second", "first"]
    assert body["page"] == {"next": None, "prev": None, "limit": 50}
    assert body["count"] == {"value": 3, "relation": "eq"}


def test_a_row_shows_the_head_of_the_error_and_no_parameters(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    error = {"type": "ValueError", "message": "x" * 9_000, "traceback": "long", "task_id": "fit"}
    make_workflow("broken", status="FAILED", error=error, params={"folds": 3}, tasks_total=2)
    (item,) = api.get(URL).json()["items"]
    assert item["error"] == {"type": "ValueError", "message": "x" * 500}
    assert item["tasks"]["total"] == 2
    assert "params" not in item


def test_filters_narrow_each_other(api: Client, make_workflow: MakeWorkflow) -> None:
    Definition.objects.create(name="training")
    Definition.objects.create(name="etl")
    make_workflow("etl-1", status="FAILED", definition="etl")
    make_workflow("etl-2", status="RUNNING", definition="etl")
    make_workflow("other", status="FAILED", definition="training")
    assert ids(api, status="FAILED") == ["other", "etl-1"]
    assert ids(api, status="failed,running", definition="etl") == ["etl-2", "etl-1"]
    assert ids(api, q="ETL") == ["etl-2", "etl-1"]
    assert ids(api, q="train") == ["other"]
    assert ids(api, created_after=START.replace(minute=1).isoformat()) == ["other", "etl-2"]
    assert ids(api, created_before="2026-01-01T12:01:00Z") == ["etl-1"]


def test_a_query_is_read_and_a_mistake_in_it_is_pointed_at(
    api: Client, client_for: ClientFor, viewer: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl-1", status="FAILED", tags={"team": "ml"})
    make_workflow("etl-2", status="FAILED", error={"type": "KeyError", "message": "no"})
    assert ids(api, q="status:FAILED tag.team:ml") == ["etl-1"]
    assert ids(api, q="status:FAILED error:KeyError") == ["etl-2"]
    problem = assert_problem(api.get(URL, {"q": "etl status:LATE"}), 400, "bad_query")
    (error,) = problem["errors"]
    assert (error["parameter"], error["position"]) == ("q", 11)
    refused = client_for(viewer).get(URL, {"q": "status:FAILED error:KeyError"})
    assert "may not see" in assert_problem(refused, 400, "bad_query")["detail"]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "SLEEPING"},
        {"status": ","},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "many"},
        {"sort": "color"},
        {"created_after": "yesterday"},
        {"statu": "FAILED"},
        {"q": "x" * 1001},
    ],
)
def test_a_parameter_that_does_not_fit_is_named(api: Client, query: dict[str, str]) -> None:
    problem = assert_problem(api.get(URL, query), 400, "bad_query")
    assert [error["parameter"] for error in problem["errors"]] == list(query)


def walk(api: Client, **query: Any) -> tuple[list[str], list[str]]:
    """All ids, read from the first page to the last, and back again."""
    forward: list[str] = []
    body = api.get(URL, query).json()
    while True:
        forward += [item["workflow_id"] for item in body["items"]]
        if body["page"]["next"] is None:
            break
        body = api.get(URL, {**query, "cursor": body["page"]["next"]}).json()
    backward = [item["workflow_id"] for item in body["items"]]
    while body["page"]["prev"] is not None:
        body = api.get(URL, {**query, "cursor": body["page"]["prev"]}).json()
        backward = [item["workflow_id"] for item in body["items"]] + backward
    return forward, backward


@pytest.mark.parametrize("sort", list(SORTS))
def test_pages_meet_each_row_once_in_both_directions(
    api: Client, make_workflow: MakeWorkflow, sort: str
) -> None:
    # Given rows with many equal and many empty sort values
    rng = random.Random(sort)
    for number in range(23):
        moment = rng.choice([None, START, START.replace(hour=20)])
        make_workflow(
            f"run-{number}",
            created_at=START.replace(minute=rng.randrange(3)),
            started_at=moment,
            finished_at=moment,
            duration_ms=rng.choice([None, 0, 5]),
        )
    # When all pages are read
    forward, backward = walk(api, sort=sort, limit=4)
    # Then none is missing or doubled, and the way back is the same list
    assert len(set(forward)) == len(forward) == 23
    assert backward == forward
    assert ids(api, sort=sort) == forward
    opposite = sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"
    assert ids(api, sort=opposite) == forward[::-1]


def test_a_new_row_does_not_shift_the_next_page(api: Client, make_workflow: MakeWorkflow) -> None:
    for name in ("a", "b", "c"):
        make_workflow(name)
    first = api.get(URL, {"limit": 2}).json()
    make_workflow("newest")
    assert ids(api, limit=2, cursor=first["page"]["next"]) == ["a"]


@pytest.mark.parametrize("cursor", ["x", "W10:abc", "%%%", "a:b:c", "é"])
def test_a_cursor_that_was_made_up_is_refused(api: Client, cursor: str) -> None:
    assert_problem(api.get(URL, {"cursor": cursor}), 400, "bad_cursor")


def test_a_cursor_that_was_altered_is_refused(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("a")
    make_workflow("b")
    cursor = api.get(URL, {"limit": 1}).json()["page"]["next"]
    for position in range(0, len(cursor), 7):
        other = "A" if cursor[position] != "A" else "B"
        altered = cursor[:position] + other + cursor[position + 1 :]
        assert_problem(api.get(URL, {"limit": 1, "cursor": altered}), 400, "bad_cursor")


def test_a_cursor_belongs_to_its_query_and_list(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("a")
    make_workflow("b")
    cursor = api.get(URL, {"limit": 1}).json()["page"]["next"]
    assert ids(api, limit=2, cursor=cursor) == ["a"]
    for query in ({"status": "RUNNING"}, {"sort": "created"}):
        assert_problem(api.get(URL, {**query, "cursor": cursor}), 400, "bad_cursor")
    assert_problem(api.get("/api/v1/definitions/", {"cursor": cursor}), 400, "bad_cursor")


def statements(api: Client, **query: Any) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert api.get(URL, query).status_code == 200
    return [each["sql"] for each in captured.captured_queries]


def test_the_list_takes_the_same_few_statements_for_any_length(
    client_for: ClientFor, operator: User, make_workflow: MakeWorkflow
) -> None:
    api = client_for(operator)
    for _ in range(60):
        make_workflow()
    statements(api)  # the first use of a token is noted
    short = statements(api, limit=2)
    long = statements(api, limit=200, status="RUNNING", q="run", sort="-duration")
    # token and user, permissions of the user and of the groups, page, count; a word asks the catalogue, too
    assert (len(short), len(long)) == (5, 6), short + long
    for sql in short + long:
        assert "OFFSET" not in sql
        if "COUNT(" in sql:
            assert "LIMIT 10001" in sql


def test_a_count_stops_at_its_cap(
    api: Client, make_workflow: MakeWorkflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        make_workflow()
    monkeypatch.setattr(queries.capped_count, "__defaults__", (3,))
    assert api.get(URL).json()["count"] == {"value": 3, "relation": "gte"}
