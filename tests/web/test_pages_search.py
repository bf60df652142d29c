"""The palette, its page, and what the search field suggests."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from tests.web import factories
from tests.web.pages import HOSTILE, check_markup, signed_in, text_of
from workflows_app.models import FailureGroup, Schedule
from workflows_app.search import ALL_KEYS, Search
from workflows_app.search.suggestions import suggest

pytestmark = pytest.mark.django_db


def hits(text: str) -> list[str]:
    """Where the hits lead, from top to bottom."""
    return [
        str(a["href"])
        for tag, a in check_markup(text).tags
        if tag == "a" and "hit" in str(a.get("class")).split()
    ]


def test_a_few_letters_find_things_of_every_kind(operator: User) -> None:
    factories.definition("census")
    factories.workflow("census-17", definition="census")
    Schedule.objects.create(name="nightly-census", definition="census", every_seconds=60)
    FailureGroup.objects.create(fingerprint="a" * 16, error_type="CensusError", workflows=2)
    found = hits(text_of(signed_in(operator).get("/search/", {"q": "census"})))
    assert found == [
        "/workflows/census-17/", "/definitions/census/", f"/failures/{'a' * 16}/", "/schedules/nightly-census/",
    ]  # fmt: skip


def test_pages_are_found_by_what_they_are_for_and_only_by_who_may_open_them(
    operator: User, viewer: User
) -> None:
    assert "/schedules/" in hits(text_of(signed_in(operator).get("/search/", {"q": "cron"})))
    assert hits(text_of(signed_in(viewer).get("/search/", {"q": "launch a"}))) == []
    assert "/audit/" not in hits(text_of(signed_in(operator).get("/search/")))


def test_a_query_in_the_palette_finds_workflows_and_bad_ones_find_none(operator: User) -> None:
    factories.workflow("sad", "FAILED")
    client = signed_in(operator)
    assert "/workflows/sad/" in hits(text_of(client.get("/search/", {"q": "status:FAILED"})))
    for text in ("status:", "[[", HOSTILE, "x" * 3000):
        answer = client.get("/search/", {"q": text})
        assert answer.status_code == 200
        assert check_markup(text_of(answer)).faults == []


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("", "status:"),
        ("sta", "status:"),
        ("created:-24h st", "status:"),
        ("status:FA", "FAILED"),
        ("status:[FAILED,RES", "RESUMABLE"),
        ("status:!FA", "FAILED"),
        ("created:", "-1h"),
        ("ta", "tag."),
    ],
)
def test_what_may_follow_is_suggested(query: str, first: str) -> None:
    assert suggest(query, len(query))[0].text == first


def test_a_suggestion_takes_the_place_of_the_word_under_the_cursor() -> None:
    query = "status:[FAILED,RES] etl"
    found = suggest(query, query.index("]"))[0]
    made = query[: found.start] + found.text + query[found.end :]
    assert made == "status:[FAILED,RESUMABLE] etl"


def test_definitions_are_suggested_by_name_and_as_values(operator: User) -> None:
    factories.definition("census")
    assert [s.text for s in suggest("cen", 3)] == ["definition:census"]
    assert [s.text for s in suggest("definition:c", 12)] == ["census"]
    answer = signed_in(operator).get("/suggestions/", {"q": "definition:c", "at": "12"})
    assert answer.json()["items"] == [{"text": "census", "help": "", "start": 11, "end": 12}]


def test_every_key_is_suggested_and_no_value_that_cannot_be_read() -> None:
    assert {s.text.rstrip(":.") for s in suggest("", 0)} <= {
        name.removesuffix(".NAME") for name in ALL_KEYS
    }
    for key in ("status", "created", "started", "finished", "duration", "resolved"):
        for found in suggest(f"{key}:", len(key) + 1):
            Search(f"{key}:{found.text}")


@pytest.mark.parametrize(("query", "at"), [('"a', 2), ("nokey:x", 7), ("a", 99), ("", -3)])
def test_odd_places_suggest_nothing_or_something_harmless(query: str, at: int) -> None:
    for found in suggest(query, at):
        assert 0 <= found.start <= found.end <= len(query)
