"""Lists as files."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any

import pyarrow.parquet
import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from tests.web import factories
from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app import tokens
from workflows_app.api import exports
from workflows_app.models import AuditEntry, Workflow

URL = "/api/v1/exports/"


def fetch(api: Client, path: str, **query: str) -> bytes:
    answer = api.get(URL + path, query)
    assert answer.status_code == 200, answer.content
    assert "attachment" in answer.headers["Content-Disposition"]
    return b"".join(answer.streaming_content)


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "BATCH", 3)


@pytest.mark.parametrize("number", [0, 1, 3, 10])
def test_every_format_holds_every_row_once(
    api: Client, make_workflow: MakeWorkflow, number: int
) -> None:
    for n in range(number):
        make_workflow(f"w-{n}", status="FAILED", error={"type": "E", "message": f"né {n}"})
    expected = [f"w-{n}" for n in reversed(range(number))]
    rows = table(fetch(api, "workflows/"))
    assert [row["workflow_id"] for row in rows] == expected
    lines = fetch(api, "workflows/", format="ndjson").decode().splitlines()
    assert [json.loads(line)["workflow_id"] for line in lines] == expected
    read = pyarrow.parquet.read_table(io.BytesIO(fetch(api, "workflows/", format="parquet")))
    assert read.column("workflow_id").to_pylist() == expected
    assert str(read.schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    if number:
        assert rows[-1]["error_message"] == json.loads(lines[-1])["error_message"] == "né 0"


def test_the_query_and_the_order_are_those_of_the_list(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    for n in range(8):
        make_workflow(f"w-{n}", status="FAILED" if n % 2 else "SUCCESSFUL", duration_ms=n % 3)
    query = {"q": "status:FAILED", "sort": "duration"}
    listed = [i["workflow_id"] for i in api.get("/api/v1/workflows/", query).json()["items"]]
    assert [row["workflow_id"] for row in table(fetch(api, "workflows/", **query))] == listed
    assert_problem(api.get(URL + "workflows/?q=bad:1"), 400, "bad_query")
    assert_problem(api.get(URL + "workflows/?format=xlsx"), 400, "bad_query")


@pytest.mark.parametrize("bad", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_spreadsheet_is_a_formula(
    api: Client, make_workflow: MakeWorkflow, bad: str
) -> None:
    made = make_workflow(bad, created_by=bad, tags={"a": bad}, error={"type": bad, "message": bad})
    factories.tasks(made, [(bad, 1, "SUCCESSFUL")])
    for row in table(fetch(api, "workflows/")):
        for name in ("workflow_id", "created_by", "error_type", "error_message"):
            assert row[name] == f"'{bad}"
    lines = fetch(api, "workflows/", format="ndjson").decode().splitlines()
    assert json.loads(lines[0])["workflow_id"] == bad  # other formats hold it as it is


def test_tasks_events_bulk_items_and_the_audit_log(api: Client, administrator: User) -> None:
    made = factories.workflow("one", "FAILED", error=factories.error("fit"))
    factories.tasks(made, [("load", 1, "SUCCESSFUL"), ("fit", 5, "FAILED")])
    factories.events(made, [("accepted", None, {"definition": "d"}), ("task", "fit", {})])
    tasks = table(fetch(api, "workflows/one/tasks/"))
    assert [row["task_id"] for row in tasks] == ["load", "fit", "fit_1", "fit_2", "fit_3", "fit_4"]
    assert json.loads(tasks[1]["upstream"]) == ["load"]
    events = table(fetch(api, "workflows/one/events/"))
    assert [(row["seq"], row["kind"]) for row in events] == [("1", "accepted"), ("2", "task")]
    preview = {"action": "resume", "selection": {"ids": ["one", "gone"]}, "dry_run": True}
    token = api.post("/api/v1/bulk-operations/", preview, content_type="application/json").json()
    body = {"confirm_token": token["confirm_token"]}
    bulk = api.post("/api/v1/bulk-operations/", body, content_type="application/json").json()
    items = table(fetch(api, f"bulk-operations/{bulk['id']}/items/"))
    assert {row["workflow_id"] for row in items} <= {"one", "gone"}
    log = table(fetch(api, "audit-entries/"))
    assert [row["verb"] for row in log[:2]] == ["export", "export"]
    assert AuditEntry.objects.filter(verb="export", actor="ada").count() == 4


def test_values_stay_hidden_from_who_may_not_see_them(
    client_for: ClientFor, viewer: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("w", params={"key": "secret"}, error={"type": "E", "message": "secret"})
    theirs = client_for(viewer)
    for kind in ("csv", "ndjson"):
        assert b"secret" not in fetch(theirs, "workflows/", format=kind)
    assert_problem(theirs.get(URL + "audit-entries/"), 403, "forbidden")


@pytest.mark.django_db(transaction=True)
async def test_a_server_streams_without_keeping_the_file(
    administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asgiref.sync import sync_to_async

    monkeypatch.setattr(exports, "BATCH", 100)

    def prepare() -> str:
        stamp = administrator.date_joined
        Workflow.objects.bulk_create(
            Workflow(
                workflow_id=f"w-{n:05d}",
                created_at=stamp,
                changed_at=stamp,
                error={"type": "E", "message": "x" * 1000},
            )
            for n in range(10_000)
        )
        return str(tokens.create(administrator, "t", scope="admin")[1])

    secret = await sync_to_async(prepare)()
    client = AsyncClient()
    tracemalloc.start()
    answer: Any = await client.get(
        URL + "workflows/", headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 200, answer.content
    size = 0
    async for part in answer.streaming_content:
        size += len(part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 10_000_000
    assert peak < size / 2
