"""Requests nobody would write by hand: the schema's promises hold for all of them."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.throttling import SimpleRateThrottle

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import START, MakeTask, MakeWorkflow
from tests.web.fake_gateway import FakeGateway
from workflows_app.api import schema
from workflows_app.models import Command, Definition, WorkflowEvent

OPERATIONS = [
    (path, method, operation)
    for path, methods in schema.document()["paths"].items()
    for method, operation in methods.items()
]
IDS = st.sampled_from(["etl", "done", "ghost", "fit"]) | st.text(min_size=1, max_size=20)
WORDS = st.sampled_from(
    ["1", "0", "-1", "1e9", "nan", "FAILED", "failed,RUNNING", "-created", "etl", "2026-01-01"]
) | st.text(max_size=15)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
LAUNCH = st.fixed_dictionaries(
    {"definition": st.sampled_from(["training"]) | JSON},
    optional={"params": JSON, "workflow_id": JSON, "metadata": JSON, "tags": JSON, "more": JSON},
)
NUMBERS = st.integers(0, 3).map(str)
PLACES = {
    "operation_id": st.uuids().map(str), "bulk_id": st.uuids().map(str),
    "view_id": NUMBERS, "number": NUMBERS,
    "verb": st.sampled_from(["pause", "unpause", "trigger", "abort", "x"]),
}  # fmt: skip
KEYS = st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=130)


@pytest.fixture
def populated(
    engine: FakeGateway, make_workflow: MakeWorkflow, make_task: MakeTask, definition: Definition
) -> Command:
    """A running and a finished workflow with a task, an event and a command."""
    workflow = make_workflow("etl", tasks_total=1)
    make_workflow("done", status="SUCCESSFUL")
    make_task(workflow, "fit", name="fit", started_at=START)
    WorkflowEvent.objects.create(workflow=workflow, seq=1, time=START, kind="accepted")
    return Command.objects.create(kind="launch", workflow_id="done", state="SUCCEEDED")


def address(data: st.DataObject, path: str, command: Command) -> str:
    for name in re.findall(r"{(\w+)}", path):
        value = data.draw(PLACES.get(name, IDS), name)
        if name == "operation_id" and data.draw(st.booleans(), "known"):
            value = str(command.pk)
        path = path.replace("{" + name + "}", quote(value, safe=""))
    return path


def query(data: st.DataObject, operation: dict[str, Any]) -> dict[str, str]:
    known = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
    # A request that waits would only make this test slow.
    names = st.sampled_from([*known, "more"]).filter(lambda name: name != "wait")
    return data.draw(st.dictionaries(names, WORDS, max_size=3), "query")


@pytest.mark.parametrize(
    ("path", "method", "operation"), OPERATIONS, ids=[f"{m} {p}" for p, m, _ in OPERATIONS]
)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_request_gets_an_answer_that_the_schema_promises(
    api: Client,
    populated: Command,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    method: str,
    operation: dict[str, Any],
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(SimpleRateThrottle, "allow_request", lambda *_: True)
    key = data.draw(KEYS, "key")
    headers = {} if key is None else {"Idempotency-Key": key}
    arguments: dict[str, Any] = {"query_params": query(data, operation), "headers": headers}
    if method in ("post", "put", "patch"):
        body = data.draw(LAUNCH | JSON if path.endswith("workflows/") else JSON, "body")
        arguments |= {"data": json.dumps(body), "content_type": "application/json"}
    answer = getattr(api, method)(address(data, path, populated), **arguments)
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        assert_problem(answer, answer.status_code, answer.json()["code"])
        assert str(answer.status_code) in operation["responses"]
        return
    contents = operation["responses"][str(answer.status_code)]["content"]
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in contents
    if "application/json" not in contents:
        b"".join(answer.streaming_content)
        return
    promised = contents["application/json"]
    document = {**promised["schema"], "components": schema.document()["components"]}
    jsonschema.Draft202012Validator(document).validate(answer.json())
