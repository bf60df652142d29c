"""Searches under names: one's own, and shared ones."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor
from workflows_app.models import SavedView

URL = "/api/v1/saved-views/"
VIEW = {"name": "failed", "query": "status:FAILED created:-24h", "columns": ["status", "error"]}


@pytest.fixture
def mine(client_for: ClientFor, operator: User) -> Client:
    """A caller with views of his own."""
    return client_for(operator)


def post(client: Client, body: Any) -> Any:
    return client.post(URL, body, content_type="application/json")


def put(client: Client, url: str, body: Any, **headers: str) -> Any:
    return client.put(url, body, content_type="application/json", headers=headers)


def test_a_view_is_kept_changed_and_forgotten(mine: Client) -> None:
    made = post(mine, VIEW)
    assert made.status_code == 201, made.content
    assert (made.json()["owner"], made.json()["sort"]) == ("omar", "-created")
    url = made.headers["Location"]
    assert mine.get(url).headers["ETag"] == made.headers["ETag"]
    unchanged = mine.get(url, headers={"If-None-Match": made.headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    changed = put(mine, url, {**VIEW, "sort": "duration"}, **{"If-Match": made.headers["ETag"]})
    assert changed.json()["sort"] == "duration"
    assert_problem(put(mine, url, VIEW, **{"If-Match": made.headers["ETag"]}), 412, "stale")
    assert mine.delete(url).json()["name"] == "failed"
    assert_problem(mine.get(url), 404, "not_found")


def test_others_see_shared_views_and_change_none(
    mine: Client, client_for: ClientFor, viewer: User
) -> None:
    theirs = client_for(viewer)
    hidden = post(mine, VIEW).headers["Location"]
    assert theirs.get(URL).json()["items"] == []
    assert_problem(theirs.get(hidden), 404, "not_found")
    shared = post(mine, {**VIEW, "name": "all", "shared": True}).headers["Location"]
    assert [view["name"] for view in theirs.get(URL).json()["items"]] == ["all"]
    assert_problem(put(theirs, shared, VIEW), 403, "forbidden")
    assert_problem(theirs.delete(shared), 403, "forbidden")
    assert post(theirs, VIEW).status_code == 201  # names are one's own


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"query": "nonsense:1"}, "bad_query"),
        ({"query": "x" * 1001}, "validation_error"),
        ({"columns": ["nothing"]}, "validation_error"),
        ({"sort": "name"}, "validation_error"),
        ({"name": ""}, "validation_error"),
        ({"name": "n" * 101}, "validation_error"),
    ],
)
def test_a_view_that_would_not_work_is_refused(
    mine: Client, change: dict[str, Any], code: str
) -> None:
    assert_problem(post(mine, {**VIEW, **change}), 400, code)
    assert SavedView.objects.count() == 0


def test_two_views_of_one_account_have_two_names(mine: Client) -> None:
    post(mine, VIEW)
    assert_problem(post(mine, VIEW), 409, "view_exists")


def test_who_may_not_see_values_cannot_ask_for_them(client_for: ClientFor, viewer: User) -> None:
    answer = post(client_for(viewer), {**VIEW, "query": "error:secret status:FAILED"})
    assert_problem(answer, 400, "bad_query")
