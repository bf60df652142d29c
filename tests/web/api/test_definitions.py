"""GET definitions/ and definitions/{name}/."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.web.api.checks import assert_problem
from workflows_app.models import Definition

URL = "/api/v1/definitions/"


def test_definitions_are_listed_by_name_with_their_schema(
    api: Client, definition: Definition
) -> None:
    Definition.objects.create(name="census", description="Counts.", tags={"team": "ml"})
    Definition.objects.create(name="gone", available=False)
    items = api.get(URL).json()["items"]
    assert [item["name"] for item in items] == ["census", "training"]
    assert items[0]["tags"] == {"team": "ml"}
    assert items[1]["description"] == "Trains."
    assert items[1]["params_schema"] == definition.params_schema


def test_definitions_are_paged(api: Client) -> None:
    for name in "abcde":
        Definition.objects.create(name=name)
    first = api.get(URL, {"limit": 2}).json()
    second = api.get(URL, {"limit": 2, "cursor": first["page"]["next"]}).json()
    again = api.get(URL, {"limit": 2, "cursor": second["page"]["prev"]}).json()
    assert [item["name"] for item in second["items"]] == ["c", "d"]
    assert again["items"] == first["items"]


@pytest.mark.parametrize("available", [True, False])
def test_one_definition_is_shown_also_when_it_is_no_longer_loaded(
    api: Client, definition: Definition, available: bool
) -> None:
    Definition.objects.update(available=available)
    body = api.get(URL + "training/").json()
    assert body["name"] == "training"
    assert body["module"] == "examples.training"
    assert body["available"] is available


def test_an_unknown_definition_is_not_found(api: Client) -> None:
    problem = assert_problem(api.get(URL + "ghost/"), 404, "not_found")
    assert "ghost" in problem["detail"]
