"""The page of the virtual actors, and what the page of one shows."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User

from tests.web import factories
from tests.web.pages import check_markup, signed_in, statements, text_of

pytestmark = pytest.mark.django_db

LIST = "/actors/"


def shown(text: str) -> list[str]:
    return re.findall(r'href="/workflows/([^/"]+)/" data-row-link', text)


def test_the_list_shows_actors_and_no_other_workflow(administrator: User) -> None:
    factories.workflow("plain")
    factories.workflow("cart-1", actor="shop.Cart", tasks_total=7, tasks_successful=6)
    text = text_of(signed_in(administrator).get(LIST))
    check_markup(text)
    assert shown(text) == ["cart-1"]
    assert "shop.Cart" in text
    assert "6/7" in text
    assert "1 of 1 actor<" in re.sub(r"\s+", " ", text).replace("actor ", "actor<")


def test_the_list_is_searched_and_says_when_there_is_nothing(administrator: User) -> None:
    client = signed_in(administrator)
    assert "No actors yet" in text_of(client.get(LIST))
    factories.workflow("cart-1", actor="shop.Cart")
    factories.workflow("inbox", actor="office.Inbox")
    assert shown(text_of(client.get(LIST + "?q=office"))) == ["inbox"]
    assert "No actor matches" in text_of(client.get(LIST + "?q=nothing"))


def test_the_list_takes_the_same_statements_whatever_its_length(administrator: User) -> None:
    client = signed_in(administrator)
    counts = []
    for number in (3, 30):
        for n in range(number):
            factories.workflow(f"cart-{number}-{n}", actor="shop.Cart")
        with statements() as sql:
            client.get(LIST)
        counts.append(len(sql))
    assert counts[0] == counts[1]


def test_the_page_of_an_actor_shows_its_state_while_it_runs(administrator: User) -> None:
    preview = {"type": "dict", "size": 10, "json": {"items": 2}, "text": "{'items': 2}"}
    factories.workflow("cart-1", "RUNNING", actor="shop.Cart", output_preview=preview)
    text = text_of(signed_in(administrator).get("/workflows/cart-1/"))
    check_markup(text)
    assert '<h2 id="output-title">State</h2>' in text
    assert "shop.Cart" in text
    assert "items" in text
