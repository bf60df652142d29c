"""The query language: what each term finds, what is wrong with a bad one, and that none reads the whole table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from tests.web import factories
from workflows_app.models import Definition, Workflow
from workflows_app.search import BadQuery, Search, read
from workflows_app.search.columns import has_trigrams

NOW = datetime(2026, 10, 10, 12, tzinfo=UTC)


def found(text: str, **options: Any) -> list[str]:
    """The ids that a query finds, in the order of their creation."""
    wanted = Search(text, now=NOW, **options)
    rows = Workflow.objects.filter(wanted.condition).order_by("created_at")
    return list(rows.values_list("workflow_id", flat=True))


@pytest.fixture
def workflows(db: None) -> None:
    """Three workflows, an hour, a day and ten days old."""
    Definition.objects.create(name="etl.nightly")
    Definition.objects.create(name="training")
    factories.workflow(
        "old", "FAILED", definition="etl.nightly", created_at=NOW - timedelta(days=10),
        error={"type": "MemoryError", "message": "CUDA out of memory"}, duration_ms=90_000,
        created_by="ada", tags={"team": "ml", "a.b c": "x"},
    )  # fmt: skip
    factories.workflow(
        "day", "RESUMABLE", definition="training", created_at=NOW - timedelta(hours=23),
        user_metadata={"customer": 42, "paid": True, "who": "42"}, tags={"team": "web"},
        started_at=None, duration_ms=None,
    )  # fmt: skip
    factories.workflow(
        "New_1%", "SUCCESSFUL", definition=None, created_at=NOW - timedelta(hours=1),
        duration_ms=500, actor="bank.Account", pending_command="cancel",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["old", "day", "New_1%"]),
        ("status:FAILED", ["old"]),
        ("status:failed", ["old"]),
        ("status:[FAILED,RESUMABLE]", ["old", "day"]),
        ("status:[ FAILED , RESUMABLE ] old", ["old"]),
        ("status:!SUCCESSFUL", ["old", "day"]),
        ("status:![SUCCESSFUL,FAILED]", ["day"]),
        ("id:old", ["old"]),
        ("id:ol", []),
        ("id:o*", ["old"]),
        ("id:New_1%", ["New_1%"]),
        ('id:"New_1%"', ["New_1%"]),
        ("id:New*", ["New_1%"]),
        ("id:n*", []),
        ("created:-11d id:~L", ["old"]),
        ("New_", ["New_1%"]),
        ("New* status:SUCCESSFUL", ["New_1%"]),
        ("nightly", ["old"]),
        ("definition:etl*", ["old"]),
        ("name:training", ["day"]),
        ("definition:none", ["New_1%"]),
        ("definition:!training created:-31d", ["old", "New_1%"]),
        ("actor:bank.Account", ["New_1%"]),
        ("actor:none", ["old", "day"]),
        ("created:-24h", ["day", "New_1%"]),
        ("created:>-24h", ["day", "New_1%"]),
        ("created:<-24h", ["old"]),
        ("created:2026-09-30", ["old"]),
        ("created:2026-09-30..2026-10-09", ["old", "day"]),
        ("created:..2026-10-01", ["old"]),
        ("created:2026-10-10T11:00:00Z..", ["New_1%"]),
        ("created:2026-10-10T11:00:00+00:00..now", ["New_1%"]),
        ("created:>2026-09-30", ["day", "New_1%"]),
        ("created:<=2026-09-30", ["old"]),
        ("created:<2026-09-30", []),
        ("started:none", ["day"]),
        ("duration:>10s", ["old"]),
        ("duration:<=500ms", ["New_1%"]),
        ("duration:1.5m", ["old"]),
        ("duration:100ms..1m", ["New_1%"]),
        ("duration:none", ["day"]),
        ("tag.team:ml", ["old"]),
        ("tag.team:[ml,web]", ["old", "day"]),
        ('tag.a.b:x', []),
        ("created:-31d user:ada", ["old"]),
        ("created:-31d meta.customer:42", ["day"]),
        ('created:-31d attr.customer:"42"', []),
        ("created:-31d meta.who:42", ["day"]),
        ("created:-31d meta.paid:true", ["day"]),
        ("created:-31d meta.nothing:1", []),
        ('created:-31d error:"out of MEMORY"', ["old"]),
        ("status:FAILED error:MemoryError", ["old"]),
        ("created:-31d error:none", ["day", "New_1%"]),
        ("created:-31d pending:cancel", ["New_1%"]),
    ],
)  # fmt: skip
def test_a_query_finds(workflows: None, text: str, expected: list[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize("text", ["new_1", "w_1", "1%"])
def test_a_word_is_a_part_of_an_id_where_the_database_has_an_index_for_that(
    workflows: None, text: str
) -> None:
    has_index = connection.vendor == "sqlite" or (len(text) >= 3 and has_trigrams("default"))
    assert found(text) == (["New_1%"] if has_index else [])


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("statu:FAILED", 0, "no key 'statu'; use: status, id"),
        ("etl status:SLEEPING", 11, "'SLEEPING' is not a status; use: PENDING"),
        ("status:[FAILED,ASLEEP]", 15, "'ASLEEP' is not a status"),
        ("status:", 7, "a value is missing"),
        ("status:[FAILED", 14, "a ] that ends the list is missing"),
        ('id:"etl', 3, "never closed"),
        ("id:a]b", 4, "']' is not expected here"),
        ("status:>FAILED", 0, "status does not know >; use status:, status:!"),
        ("created:yesterday", 8, "'yesterday' is no time"),
        ("created:2026-13-01", 8, "'2026-13-01' is no time"),
        ("created:2026-10-01..soon", 20, "'soon' is no time"),
        ("created:9999-12-31", 8, "The calendar ends there"),
        ("created:-99999999w", 8, "is no time"),
        ("duration:>ten", 10, "'ten' is no duration"),
        ("tag.:x", 0, "no key 'tag.'"),
        ("id.x:x", 0, "no key 'id.x'"),
        (" ".join(["etl"] * 21), 80, "at most 20 terms"),
        ("x" * 1001, 1000, "at most 1,000 characters"),
        ("error:boom", 0, "error: would read every workflow; add a time range"),
        ("created:-32d error:boom", 13, "would read every workflow"),
        ("created:>2020-01-01 user:ada", 20, "would read every workflow"),
        ("created:<-1h user:ada", 13, "would read every workflow"),
        ("id:~etl", 0, "id:~ would read every workflow"),
        ("definition:!etl", 0, "definition:! would read"),
    ],
)
def test_a_bad_query_is_pointed_at(db: None, text: str, at: int, says: str) -> None:
    with pytest.raises(BadQuery) as caught:
        Search(text, now=NOW)
    assert caught.value.at == at
    assert says in caught.value.detail
    assert caught.value.errors[0]["position"] == at


def test_errors_are_found_only_by_who_may_see_them(workflows: None) -> None:
    with pytest.raises(BadQuery, match="which this account may not see"):
        found("status:FAILED error:MemoryError", may_see_payload=False)


def test_what_narrows_the_list_already_is_company_enough(workflows: None) -> None:
    assert found("error:MemoryError", is_narrowed=True) == ["old"]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_at_one_of_its_characters(text: str) -> None:
    assert all(0 <= at <= len(text) for at in _places(text))


def _places(text: str) -> list[int]:
    """Where the terms of a query begin, or where it is wrong."""
    try:
        return [term.at for term in read(text)]
    except BadQuery as problem:
        return [problem.at]


@given(st.text(min_size=1, max_size=30))
def test_every_text_can_be_put_in_quotes(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    (term,) = read(f'id:"{quoted}"')
    assert term.values[0].text == text
