"""The page that shows two workflows side by side."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.web import factories
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from workflows_app.models import Task

pytestmark = pytest.mark.django_db

PAGE = "/compare/?a=one&b=two"


@pytest.fixture
def two(db: None) -> None:
    one = factories.workflow("one", params={"folds": 5, "kernel": HOSTILE}, tags={"team": "ml"})
    factories.tasks(
        one, [("load", 1, "SUCCESSFUL"), ("fit", 2, "SUCCESSFUL"), ("old", 1, "FAILED")]
    )
    two = factories.workflow("two", "FAILED", params={"folds": 7, "kernel": "rbf"})
    factories.tasks(two, [("load", 1, "SUCCESSFUL"), ("fit", 3, "FAILED")])
    Task.objects.filter(workflow=two, name="load").update(duration_ms=100)


def test_what_differs_is_shown(operator: User, two: None) -> None:
    client = signed_in(operator)
    with statements() as asked:
        text = text_of(client.get(PAGE))
    check_markup(text)
    assert len(asked) <= 13
    for words in ("/folds", "/kernel", ">5<", ">7<", "Only in A", "Only in B"):
        assert words in text, words
    assert "The first task that became something else is <strong>fit</strong>" in text
    assert "\N{MINUS SIGN}300 ms" in text
    assert "/compare/?a=two&amp;b=one" in text


def test_two_alike_say_so(operator: User, two: None) -> None:
    text = text_of(signed_in(operator).get("/compare/?a=one&b=one"))
    check_markup(text)
    assert text.count("The same in both") == 3
    assert "something else" not in text


def test_who_may_not_see_payloads_sees_no_parameters(viewer: User, two: None) -> None:
    text = text_of(signed_in(viewer).get(PAGE))
    check_markup(text)
    assert "/folds" not in text
    assert "Parameters" not in text


def test_the_other_runs_of_a_definition_are_offered(operator: User, two: None) -> None:
    client = signed_in(operator)
    check_markup(text_of(client.get("/compare/")))
    offered = text_of(client.get("/compare/?a=one"))
    check_markup(offered)
    assert 'href="/compare/?a=one&amp;b=two" data-row-link' in offered
    assert 'href="/compare/?a=one"' in text_of(client.get("/workflows/one/"))


def test_an_unknown_one_is_told(operator: User, two: None) -> None:
    answer = signed_in(operator).get("/compare/?a=one&b=ghost")
    assert answer.status_code == 404
    assert "ghost" in text_of(answer)
