"""The list of workflows: search, filters, paging, live rows, selection."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.web import factories
from tests.web.pages import check_markup, signed_in, statements, text_of
from workflows_app.models import Workflow

pytestmark = pytest.mark.django_db

LIST = "/workflows/"


def many(number: int, **fields: str) -> list[str]:
    """Workflows ``wf-000``, ``wf-001``, … the last one being the newest; pairs share a moment."""
    now = timezone.now() - timedelta(hours=1)
    ids = [f"wf-{index:03d}" for index in range(number)]
    for index, workflow_id in enumerate(ids):
        factories.workflow(workflow_id, created_at=now + timedelta(seconds=index // 2), **fields)
    return ids


def shown(text: str) -> list[str]:
    """The ids of the rows, from top to bottom."""
    return re.findall(r'aria-label="Select (?!all rows)([^"]+)"', text)


def link(text: str, rel: str) -> str | None:
    """The address of the next or previous page."""
    for tag, attrs in check_markup(text).tags:
        if tag == "a" and attrs.get("rel") == rel:
            return str(attrs["href"])
    return None


def walk(client: Client, address: str, rel: str) -> list[list[str]]:
    """The rows of this page and of all pages after it."""
    pages = []
    for _ in range(20):
        text = text_of(client.get(address))
        pages.append(shown(text))
        following = link(text, rel)
        if following is None:
            return pages
        address = LIST + following
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("sort", ["-created", "created"])
def test_paging_shows_every_workflow_once_and_leads_back(sort: str, operator: User) -> None:
    ids = many(60)
    expected = ids if sort == "created" else ids[::-1]
    client = signed_in(operator)
    pages = walk(client, f"{LIST}?size=25&sort={sort}", "next")
    assert [len(page) for page in pages] == [25, 25, 10]
    assert [row for page in pages for row in page] == expected
    second = link(text_of(client.get(f"{LIST}?size=25&sort={sort}")), "next")
    assert second is not None
    back = link(text_of(client.get(LIST + second)), "prev")
    assert back is not None
    first = text_of(client.get(LIST + back))
    assert shown(first) == expected[:25]
    assert link(first, "prev") is None


def test_a_workflow_that_arrives_does_not_shift_the_next_page(operator: User) -> None:
    ids = many(30)
    client = signed_in(operator)
    following = link(text_of(client.get(f"{LIST}?size=25")), "next")
    factories.workflow("late", created_at=timezone.now())
    assert shown(text_of(client.get(LIST + str(following)))) == ids[4::-1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=lisbon", ["trip-lisbon"]),
        ("q=TRIP_booking", ["trip-lisbon"]),
        ("status=FAILED", ["trip-lisbon"]),
        ("status=RUNNING", ["digits-2"]),
        ("definition=digits", ["digits-2", "digits-1"]),
        ("definition=digits&status=SUCCESSFUL&q=1", ["digits-1"]),
        ("status=WRONG", ["digits-2", "trip-lisbon", "digits-1"]),
        ("size=7&sort=sideways&cursor=forged", ["digits-2", "trip-lisbon", "digits-1"]),
        ("q=%25", []),
    ],
)
def test_filters_narrow_the_list(query: str, expected: list[str], operator: User) -> None:
    now = timezone.now()
    factories.definition("trip_booking")
    factories.workflow("digits-1", definition="digits", created_at=now - timedelta(minutes=3))
    factories.workflow(
        "trip-lisbon", "FAILED", definition="trip_booking", created_at=now - timedelta(minutes=2)
    )
    factories.workflow("digits-2", "RUNNING", definition="digits", created_at=now)
    text = text_of(signed_in(operator).get(f"{LIST}?{query}"))
    assert shown(text) == expected
    if not expected:
        assert "No workflow matches" in text
        assert "Clear filters" in text


def test_a_query_that_cannot_be_answered_is_marked(operator: User) -> None:
    answer = signed_in(operator).get(LIST, {"q": "status:x<b>"})
    assert answer.status_code == 400
    text = text_of(answer)
    assert "This query cannot be answered" in text
    assert "status:<mark>x</mark>&lt;b&gt;" in text
    assert 'value="status:x&lt;b&gt;"' in text
    assert "Search" in text_of(signed_in(operator).get("/help/"))


def test_errors_are_searched_only_by_who_may_see_them(viewer: User) -> None:
    text = text_of(signed_in(viewer).get(LIST, {"q": "status:FAILED error:boom"}))
    assert "tells of values, which this account may not see" in text


def test_the_page_says_how_many_there_are(operator: User) -> None:
    many(30)
    assert "25 of 30 workflows" in text_of(signed_in(operator).get(f"{LIST}?size=25"))


def test_an_empty_list_says_what_to_do(operator: User) -> None:
    text = text_of(signed_in(operator).get(LIST))
    assert "No workflows yet" in text
    assert "Launch the first one" in text


def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(operator: User) -> None:
    client = signed_in(operator)
    factories.definition()
    counts = []
    for number in (5, 120):
        Workflow.objects.all().delete()
        many(number)
        with statements() as found:
            client.get(f"{LIST}?size=200")
        counts.append(len(found))
        assert not any("OFFSET" in sql for sql in found)
    assert counts[0] == counts[1]
    assert counts[1] <= 8


def test_a_row_reads_no_values_of_the_workflow(operator: User) -> None:
    many(3)
    with statements() as found:
        signed_in(operator).get(LIST)
    rows = [sql for sql in found if '"workflows_app_workflow"."workflow_id"' in sql]
    assert rows
    assert not any("output_preview" in sql or '"params"' in sql for sql in rows)


def live_address(text: str) -> str:
    """Where the live client fetches the rows again."""
    (address,) = [
        str(attrs["hx-get"]) for _, attrs in check_markup(text).tags if attrs.get("id") == "rows"
    ]
    return address


def test_rows_are_fetched_again_in_place_and_new_ones_are_only_counted(operator: User) -> None:
    ids = many(3)
    client = signed_in(operator)
    address = live_address(text_of(client.get(LIST)))
    Workflow.objects.filter(workflow_id=ids[1]).update(status="FAILED")
    factories.workflow("late", created_at=timezone.now())
    text = text_of(client.get(address, headers={"HX-Request": "true"}))
    assert shown(text) == ids[::-1]
    assert text.count("Failed") == 1
    assert "1 new" in text


def test_a_row_that_no_longer_fits_the_filter_keeps_its_place(operator: User) -> None:
    factories.workflow("wf", "RUNNING")
    client = signed_in(operator)
    address = live_address(text_of(client.get(f"{LIST}?status=RUNNING")))
    Workflow.objects.update(status="SUCCESSFUL")
    factories.workflow("other", "FAILED", created_at=timezone.now())
    text = text_of(client.get(address, headers={"HX-Request": "true"}))
    assert shown(text) == ["wf"]
    assert "0 new" in text


def test_a_deleted_row_is_missed_in_words(operator: User) -> None:
    many(2)
    client = signed_in(operator)
    address = live_address(text_of(client.get(LIST)))
    Workflow.objects.filter(workflow_id="wf-000").delete()
    text = text_of(client.get(address, headers={"HX-Request": "true"}))
    assert shown(text) == ["wf-001"]
    assert "1 of these workflows has been deleted" in text
