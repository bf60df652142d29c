"""Logs of attempts by range, and values as files."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from rayflow.storage.local import LocalStore
from rayflow.storage.logs import LogFile
from tests.web import factories
from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor
from tests.web.fake_gateway import FakeGateway
from workflows_app.models import AuditEntry, Task

URL = "/api/v1/workflows/one/tasks/fit/attempts/1/logs/"


def line(text: str, stream: str = "out", level: str | None = None, at: float = 1.8e9) -> bytes:
    return json.dumps({"t": at, "s": stream, "l": level, "m": text}).encode() + b"\n"


@pytest.fixture
def task(db: None, engine: FakeGateway) -> Task:
    """A task with one attempt, of a workflow that runs."""
    made = factories.tasks(factories.workflow("one", "RUNNING"), [("fit", 1, "RUNNING")])
    factories.attempts(made[0], ["FAILED"])
    return made[0]


def write(engine: FakeGateway, *lines: bytes) -> None:
    LogFile(engine.store, "one", "fit", 1).append(b"".join(lines))


def get(api: Client, **query: Any) -> dict[str, Any]:
    answer = api.get(URL, query)
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def texts(found: dict[str, Any]) -> list[str]:
    return [item["text"] for item in found["items"]]


def test_a_log_begins_at_its_end_and_is_read_in_both_directions(
    api: Client, task: Task, engine: FakeGateway
) -> None:
    write(engine, *(line(f"line {n:04d} {'x' * 60}") for n in range(200)))
    found = get(api, limit_bytes=1024)
    assert found["at_end"]
    newest = texts(found)
    assert newest[-1].startswith("line 0199")
    seen = [found]
    while found["start"] > 0:
        found = get(api, before=found["start"], limit_bytes=1024)
        seen.insert(0, found)
    assert [t[:9] for f in seen for t in texts(f)] == [f"line {n:04d}" for n in range(200)]
    forward, offset = [], 0
    while not (found := get(api, offset=offset, limit_bytes=1024))["at_end"]:
        forward += texts(found)
        offset = found["next_offset"]
    assert len(forward + texts(found)) == 200
    item = get(api, limit_bytes=1024)["items"][0]
    again = get(api, offset=item["offset"], limit_bytes=1024)["items"][0]
    assert again == item  # its place is its permanent name


def test_an_attempt_that_has_printed_nothing_has_an_empty_log(api: Client, task: Task) -> None:
    assert get(api) == {
        "items": [], "start": 0, "next_offset": 0, "size": 0, "at_end": True, "running": False,
    }  # fmt: skip


def test_only_lines_that_fit(api: Client, task: Task, engine: FakeGateway) -> None:
    write(
        engine,
        line("started"),
        line("Disk FULL", "err"),
        line("careful", "log", "WARNING"),
        line("boom", "log", "ERROR"),
        line('with "quotes" and \\ and ü'),
    )
    assert texts(get(api, grep="disk full")) == ["Disk FULL"]
    assert texts(get(api, grep='"QUOTES" and \\ and Ü')) == ['with "quotes" and \\ and ü']
    assert texts(get(api, level="WARNING")) == ["careful", "boom"]
    assert texts(get(api, stream="err")) == ["Disk FULL"]
    assert texts(get(api, grep="nothing")) == []
    item = get(api, grep="boom")["items"][0]
    assert (item["stream"], item["level"], item["time"][:4]) == ("log", "ERROR", "2027")
    assert texts(get(api, offset=item["offset"], grep="oo")) == ["boom"]


@pytest.mark.parametrize(
    "bad", [b"{", b"[1]", b"null", b"\xff\xfe", b'{"t": "x", "s": 5, "l": {}, "m": ["\\u0000"]}']
)
def test_a_broken_line_is_shown_as_it_is(
    api: Client, task: Task, engine: FakeGateway, bad: bytes
) -> None:
    write(engine, bad + b"\n", line("whole"))
    assert texts(get(api))[-1] == "whole"
    assert len(get(api)["items"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"offset": -1}, {"limit_bytes": 1}, {"limit_bytes": 2**30}, {"level": "LOUD"},
        {"offset": 1, "before": 2}, {"grep": "x" * 201}, {"offset": 2**60}, {"tail": 1},
    ],
)  # fmt: skip
def test_bad_ranges_are_refused(api: Client, task: Task, query: dict[str, Any]) -> None:
    assert_problem(api.get(URL, query), 400, "bad_query")


def test_who_and_what(
    client_for: ClientFor, viewer: User, api: Client, task: Task, engine: FakeGateway
) -> None:
    assert_problem(client_for(viewer).get(URL), 403, "forbidden")
    assert_problem(api.get(URL.replace("/1/", "/7/")), 404, "not_found")
    Task.objects.filter(pk=task.pk).update(reused_from="origin")
    problem = assert_problem(api.get(URL.replace("/1/", "/7/")), 404, "not_found")
    assert "origin" in problem["detail"]
    engine.is_down = True
    problem = assert_problem(api.get(URL), 503, "storage_unavailable")
    assert problem["retryable"]


def test_a_log_of_a_gigabyte(api: Client, task: Task, engine: FakeGateway, tmp_path: Path) -> None:
    """The end at once, with little memory, and the first hit of a search in it."""
    engine.store = LocalStore(str(tmp_path))  # type: ignore[assignment]
    write(engine, line("first"))
    path = next(tmp_path.rglob("*.ndjson"))
    block = b"".join(line(f"line {n}", at=1.8e9 + n) for n in range(10_000))
    with path.open("ab") as file:
        for _ in range(1024**3 // len(block) + 1):
            file.write(block)
        file.write(line("last"))
    assert path.stat().st_size > 1024**3
    tracemalloc.start()
    began = time.monotonic()
    assert texts(get(api))[-1] == "last"
    took = time.monotonic() - began
    assert texts(get(api, grep="line 9999", limit_bytes=1024))[0] == "line 9999"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 1024**2, (peak, took)


@pytest.mark.parametrize(
    ("kind", "media", "ending"),
    [
        ("json", "application/json", ".json"),
        ("pandas", "application/vnd.apache.arrow.stream", ".arrows"),
        ("numpy", "application/octet-stream", ".npy"),
        ("pickle", "application/octet-stream", ".bin"),
    ],
)
def test_a_value_is_downloaded_as_it_is_stored(
    api: Client, engine: FakeGateway, kind: str, media: str, ending: str
) -> None:
    owner = factories.workflow("done", root_task_id="fit")
    factories.tasks(owner, [("fit", 1, "SUCCESSFUL"), ("inner", 1, "SUCCESSFUL")])
    Task.objects.filter(task_id="fit").update(replaced_by="inner")
    engine.values["done", "inner"] = (kind, b"0123456789")
    for path in ("output/raw/", "tasks/fit/output/raw/"):
        answer = api.get(f"/api/v1/workflows/done/{path}")
        assert answer.status_code == 200, answer.content
        assert b"".join(answer.streaming_content) == b"0123456789"
        assert (answer.headers["Content-Type"], answer.headers["X-RayFlow-Format"]) == (media, kind)
        assert answer.headers["Content-Disposition"].endswith(f'{ending}"')
        assert answer.headers["Content-Length"] == "10"
    assert AuditEntry.objects.filter(verb="export", target="done").count() == 2


def test_downloads_need_a_value_and_a_permission(
    api: Client, client_for: ClientFor, operator: User, engine: FakeGateway
) -> None:
    factories.tasks(factories.workflow("one", "FAILED"), [("fit", 1, "FAILED")])
    assert_problem(api.get("/api/v1/workflows/one/output/raw/"), 409, "state_conflict")
    assert_problem(api.get("/api/v1/workflows/one/tasks/fit/output/raw/"), 404, "no_value")
    theirs = client_for(operator).get("/api/v1/workflows/one/tasks/fit/output/raw/")
    assert "download_payload" in assert_problem(theirs, 403, "forbidden")["detail"]
