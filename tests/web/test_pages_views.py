"""Views of the list: those of everybody, those that people keep; columns, orders, exports."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tests.web import factories
from tests.web.pages import HOSTILE, check_markup, signed_in, text_of
from workflows_app.models import SavedView

pytestmark = pytest.mark.django_db

LIST = "/workflows/"


def heads(text: str) -> list[str]:
    """The sort state of the heads that can be sorted by."""
    return [
        str(a["aria-sort"])
        for tag, a in check_markup(text).tags
        if tag == "th" and "aria-sort" in a
    ]


def test_everybody_has_views_and_the_one_shown_is_marked(operator: User) -> None:
    factories.workflow("broken", "FAILED", error=factories.error())
    text = text_of(signed_in(operator).get(LIST, {"q": "resolved:false"}))
    current = [
        a
        for tag, a in check_markup(text).tags
        if tag == "a" and "data-query" in a and "aria-current" in a
    ]
    assert [a["data-query"] for a in current] == ["resolved:false"]
    assert "Needs attention" in text


def test_a_view_keeps_query_filters_order_and_columns(operator: User) -> None:
    client = signed_in(operator)
    address = f"{LIST.rstrip('s/')}s/"
    assert address == LIST
    made = client.post(
        "/views/new/?q=created%3A-7d&status=FAILED&sort=-duration&columns=status.tags",
        {"name": "Slow failures", "shared": "1"},
    )
    view = SavedView.objects.get()
    assert (view.query, view.sort, view.columns, view.shared) == (
        "created:-7d status:FAILED", "-duration", ["status", "tags"], True,
    )  # fmt: skip
    shown = parse_qs(urlsplit(made["Location"]).query)
    assert shown == {"q": [view.query], "sort": ["-duration"], "columns": ["status.tags"]}
    assert "Slow failures" in text_of(client.get(LIST))


def test_a_definition_with_odd_characters_is_quoted_in_a_view(operator: User) -> None:
    client = signed_in(operator)
    client.post("/views/new/?definition=a+%22b%22%3Ac", {"name": "odd"})
    query = SavedView.objects.get().query
    factories.workflow("it", definition='a "b":c')
    factories.workflow("other", definition="a")
    text = text_of(client.get(LIST, {"q": query}))
    assert "Select it" in text
    assert "Select other" not in text


def test_a_name_that_is_taken_or_empty_is_said_at_the_field(operator: User) -> None:
    client = signed_in(operator)
    client.post("/views/new/?q=status:FAILED", {"name": "mine"})
    again = client.post("/views/new/?q=status:FAILED", {"name": "mine"})
    assert again.status_code == 400
    assert "choose another name" in text_of(again)
    assert client.post("/views/new/", {"name": ""}).status_code == 400
    assert SavedView.objects.count() == 1


def test_a_query_that_cannot_be_read_is_not_kept(operator: User) -> None:
    answer = signed_in(operator).post("/views/new/?q=nothing:like", {"name": "bad"})
    assert answer.status_code == 400
    assert not SavedView.objects.exists()


def test_views_are_forgotten_by_their_owner_only(operator: User, viewer: User) -> None:
    signed_in(operator).post("/views/new/?q=status:FAILED", {"name": HOSTILE[:90], "shared": "1"})
    view = SavedView.objects.get()
    stranger = signed_in(viewer)
    text = text_of(stranger.get("/views/"))
    assert check_markup(text).faults == []
    assert "Forget" not in text
    assert stranger.post("/views/", {"view": view.pk}).status_code == 403
    assert signed_in(operator).post("/views/", {"view": view.pk}).status_code == 302
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("sort", ["duration", "-duration", "started", "-finished"])
def test_a_list_by_a_column_that_may_be_empty_shows_every_row_once(
    sort: str, operator: User
) -> None:
    now = timezone.now()
    for n in range(40):
        ended = now + timedelta(seconds=n) if n % 3 else None
        factories.workflow(
            f"w{n:02d}", started_at=ended, finished_at=ended, duration_ms=n * 10 if ended else None,
            created_at=now,
        )  # fmt: skip
    client, seen, address = signed_in(operator), [], f"{LIST}?size=25&sort={sort}"
    while address:
        tags = check_markup(text_of(client.get(address))).tags
        seen += [a["aria-label"] for tag, a in tags if tag == "input" and "data-pick" in a]
        following = [a["href"] for tag, a in tags if tag == "a" and a.get("rel") == "next"]
        address = LIST + str(following[0]) if following else ""
    assert len(seen) == len(set(seen)) == 40


def test_a_head_sorts_and_turns_the_order_round(operator: User) -> None:
    factories.workflow("one")
    client = signed_in(operator)
    assert heads(text_of(client.get(LIST))) == ["none", "descending"]
    turned = text_of(client.get(LIST, {"sort": "-duration"}))
    assert heads(turned) == ["descending", "none"]
    assert "?sort=duration" in turned


def test_columns_come_from_the_address_then_from_the_account(operator: User) -> None:
    factories.workflow("one", tags={"team": "ml ops"})
    client = signed_in(operator)
    assert "ml ops" not in text_of(client.get(LIST))
    kept = client.post("/preferences/", {"columns": ["tags", "status"], "next": LIST})
    assert kept.status_code == 302
    text = text_of(client.get(LIST))
    assert "team: ml ops" in text
    assert "tag.team%3A%22ml%20ops%22" in text
    assert "team: ml ops" not in text_of(client.get(LIST, {"columns": "status.created"}))
    # A tag leads to the workflows that have it.
    assert "Select one" in text_of(client.get(LIST, {"q": 'tag.team:"ml ops"'}))


def test_what_is_listed_can_be_exported_and_copied(operator: User) -> None:
    factories.workflow("one", "FAILED", error=factories.error())
    client = signed_in(operator)
    tags = check_markup(text_of(client.get(LIST, {"q": "status:FAILED", "sort": "-duration"}))).tags
    links = [a["href"] for tag, a in tags if tag == "a" and "download" in a]
    assert [parse_qs(urlsplit(str(href)).query)["format"] for href in links] == [
        ["csv"],
        ["ndjson"],
        ["parquet"],
    ]
    body = b"".join(client.get(links[0]).streaming_content)  # type: ignore[attr-defined]
    assert b"one" in body
    copied = next(a["data-copy"] for tag, a in tags if tag == "button" and "data-copy" in a)
    assert "q=status%3AFAILED" in str(copied)
    assert "sort=-duration" in str(copied)
