"""GET actors/: the virtual actors, and what of them the resources of their workflows show."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow

URL = "/api/v1/actors/"


def ids(client: Client, query: str = "") -> list[str]:
    return [item["actor_id"] for item in client.get(URL + query).json()["items"]]


def test_actors_are_listed_and_workflows_are_not(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("plain")
    make_workflow("cart-1", actor="shop.Cart", tasks_total=3, tasks_successful=2, tasks_failed=1)
    make_workflow("cart-2", actor="shop.Cart", status="SUCCESSFUL")
    body = api.get(URL).json()
    assert [item["actor_id"] for item in body["items"]] == ["cart-2", "cart-1"]
    assert body["count"]["value"] == 2
    found = body["items"][1]
    assert (found["actor_class"], found["status"]) == ("shop.Cart", "RUNNING")
    assert (found["calls"]["total"], found["calls"]["failed"]) == (3, 1)
    assert found["called_at"].startswith("2026-01-01T12:01")


def test_the_list_is_searched_sorted_and_paged(api: Client, make_workflow: MakeWorkflow) -> None:
    for number in range(3):
        make_workflow(f"cart-{number}", actor="shop.Cart")
    make_workflow("inbox", actor="office.Inbox")
    assert ids(api, "?q=office") == ["inbox"]
    assert ids(api, "?q=cart-1") == ["cart-1"]
    assert ids(api, "?sort=called") == ["cart-0", "cart-1", "cart-2", "inbox"]
    first = api.get(URL + "?limit=2").json()
    assert [item["actor_id"] for item in first["items"]] == ["inbox", "cart-2"]
    assert ids(api, f"?limit=2&cursor={first['page']['next']}") == ["cart-1", "cart-0"]


@pytest.mark.parametrize("query", ["?sort=size", "?what=1", "?limit=0"])
def test_bad_queries_are_told_from_empty_answers(api: Client, query: str) -> None:
    assert_problem(api.get(URL + query), 400, "bad_query")


def test_a_cursor_that_was_made_up_is_refused(api: Client) -> None:
    assert_problem(api.get(URL + "?cursor=x"), 400, "bad_cursor")


def test_the_list_is_not_for_everyone(client_for: ClientFor, nobody: User) -> None:
    assert_problem(client_for(nobody).get(URL), 403, "forbidden")


def test_an_actor_at_rest_takes_signals_and_a_workflow_that_has_ended_does_not(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("cart", actor="shop.Cart", status="SUCCESSFUL")
    make_workflow("done", status="SUCCESSFUL")
    make_workflow("gone", actor="shop.Cart", status="CANCELED")
    told = [
        api.post(f"/api/v1/workflows/{w}/signals/paid/", 5, "application/json")
        for w in ("cart", "done", "gone")
    ]
    assert [answer.status_code for answer in told] == [202, 409, 409]


def test_the_state_of_an_actor_is_its_output_whatever_it_does(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    preview = {"type": "dict", "size": 10, "json": {"items": 2}}
    make_workflow("cart-1", actor="shop.Cart", output_preview=preview)
    make_workflow("cart-2", actor="shop.Cart")
    assert api.get("/api/v1/workflows/cart-1/").json()["actor"] == "shop.Cart"
    found = api.get("/api/v1/workflows/cart-1/output/").json()
    assert (found["status"], found["preview"]["json"]) == ("RUNNING", {"items": 2})
    assert_problem(api.get("/api/v1/workflows/cart-2/output/"), 409, "state_conflict")
