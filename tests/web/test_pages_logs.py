"""The page of a task's log: the end first, parts by address, search, and what happens without a storage."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from rayflow.storage.logs import LogFile
from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of

pytestmark = pytest.mark.django_db

PAGE = "/workflows/one/tasks/fit/logs/"


def line(text: str, stream: str = "out", level: str | None = None) -> bytes:
    return json.dumps({"t": 1.8e9, "s": stream, "l": level, "m": text}).encode() + b"\n"


def write(engine: FakeGateway, *lines: bytes) -> None:
    LogFile(engine.store, "one", "fit", 1).append(b"".join(lines))


@pytest.fixture
def client(operator: User, engine: FakeGateway) -> Client:
    """Signed in; there is a task that has ended after one attempt."""
    made = factories.tasks(factories.workflow("one"), [("fit", 1, "SUCCESSFUL")])
    factories.attempts(made[0], ["SUCCESSFUL"])
    return signed_in(operator)


def shown(client: Client, query: str = "") -> tuple[str, list[str]]:
    text = text_of(client.get(PAGE + query))
    check_markup(text)
    return text, re.findall(r'<span class="log-text">([^<]*)</span>', text)


def link(text: str, words: str) -> str:
    found = re.search(rf'href="(\?[^"]+)">(?:<svg.*?</svg>)?{words}', text)
    assert found is not None, words
    return found[1].replace("&amp;", "&")


def test_a_long_log_opens_at_its_end_and_is_read_back(client: Client, engine: FakeGateway) -> None:
    write(engine, *(line(f"line {n:05d} {'x' * 80}") for n in range(4_000)))
    with statements() as asked:
        text, lines = shown(client)
    assert len(asked) <= 9
    assert lines[-1].startswith("line 03999")
    assert len(text) < 700_000
    seen = lines
    while "Older" in text:
        text, lines = shown(client, link(text, "Older"))
        seen = lines + seen
    assert [each[:10] for each in seen] == [f"line {n:05d}" for n in range(4_000)]
    assert ">To the end<" in text


def test_a_line_has_an_address_of_its_own(client: Client, engine: FakeGateway) -> None:
    write(engine, *(line(f"line {n}") for n in range(50)))
    text, _ = shown(client)
    address = re.findall(r'class="log-at" href="([^"]+)"', text)[30].replace("&amp;", "&")
    part, lines = shown(client, address.partition("#")[0])
    assert lines[0] == "line 30"
    assert f'id="{address.partition("#")[2]}"' in part


def test_lines_are_searched_by_text_level_and_stream(client: Client, engine: FakeGateway) -> None:
    write(
        engine, line("all is well"), line("Careful", "log", "WARNING"), line("BAD news", "err"),
        line("broken", "log", "ERROR"),
    )  # fmt: skip
    assert shown(client, "?grep=bad")[1] == ["BAD news"]
    assert shown(client, "?level=WARNING")[1] == ["Careful", "broken"]
    assert shown(client, "?stream=err")[1] == ["BAD news"]
    nothing, lines = shown(client, "?grep=missing")
    assert lines == []
    assert "No line fits" in nothing
    assert "The whole log was searched" in nothing


def test_what_was_printed_is_shown_as_text(client: Client, engine: FakeGateway) -> None:
    write(engine, line(HOSTILE), line("\x1b[31mred\x1b[0m"), b"no json\n")
    text, lines = shown(client)
    assert "<script>alert" not in text
    assert lines[1:] == ["red", "no json"]


def test_a_log_without_lines_says_why(client: Client, engine: FakeGateway) -> None:
    assert "Nothing was printed" in shown(client)[0]
    engine.is_down = True
    text, _ = shown(client)
    assert "The storage did not answer" in text


def test_a_running_attempt_is_followed_at_its_end_only(client: Client, engine: FakeGateway) -> None:
    task = factories.tasks(factories.workflow("two", "RUNNING"), [("fit", 1, "RUNNING")])[0]
    attempt = factories.attempts(task, ["FAILED"])[0]
    type(attempt).objects.update(finished_at=None)
    LogFile(engine.store, "two", "fit", 1).append(line("now"))
    address = PAGE.replace("one", "two")
    assert "data-watch" in text_of(client.get(address))
    for query in ("?grep=now", "?offset=0"):
        assert "data-watch" not in text_of(client.get(address + query))


@pytest.mark.parametrize("query", ["?offset=-1", "?before=x", "?level=LOUD", "?attempt=9" * 9])
def test_an_address_that_makes_no_sense_shows_the_end(
    client: Client, engine: FakeGateway, query: str
) -> None:
    write(engine, line("last"))
    assert client.get(PAGE + query).status_code in (200, 404)


def test_what_is_not_there_is_not_found(client: Client) -> None:
    for address in (
        PAGE + "?attempt=7",
        PAGE.replace("fit", "ghost"),
        PAGE.replace("one", "ghost"),
    ):
        assert client.get(address).status_code == 404


def test_the_task_leads_to_its_log(client: Client, nobody: Any) -> None:
    assert f'href="{PAGE}"' in text_of(client.get("/workflows/one/tasks/fit/"))
