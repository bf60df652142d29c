"""The OpenAPI document, the reference page made from it, and the answers it promises."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.validation import validate_schema

from tests.web.api.checks import assert_problem
from workflows_app.api import docs, schema, values

URL = "/api/v1/schema/"


def test_the_schema_is_generated_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "schema.yaml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    assert file.stat().st_size > 10_000


def test_the_schema_is_valid_and_served(api: Client) -> None:
    document = api.get(URL).json()
    validate_schema(document)  # type: ignore[no-untyped-call]
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "RayFlow"


def test_the_schema_is_not_for_strangers(client: Client, db: None) -> None:
    assert_problem(client.get(URL), 401, "unauthenticated")


def test_every_address_is_documented() -> None:
    converters = re.compile(r"<\w+:(\w+)>")
    included: Any = next(u for u in get_resolver().url_patterns if str(u.pattern) == "api/v1/")
    addresses = {converters.sub(r"{\1}", str(each.pattern)) for each in included.url_patterns}
    assert {path.removeprefix("/api/v1/") for path in schema.document()["paths"]} == addresses


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in schema.document()["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.parametrize(("path", "method", "operation"), operations())
def test_every_call_documents_its_problems_and_how_to_sign_in(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    assert {"400", "401", "403", "429", "default"} <= operation["responses"].keys()
    names_something = "{" in path or 404 in schema.ALSO.get((method, path), ())
    assert ("404" in operation["responses"]) == names_something
    for status, response in operation["responses"].items():
        if status == "304":
            assert "content" not in response
            continue
        files = ["text/csv", "application/x-ndjson", "application/vnd.apache.parquet"]
        raw = sorted({kind for kind, _ in (*values.KINDS.values(), values.OTHER)})
        answers = files if "/exports/" in path else ["application/json"]
        answers = raw if path.endswith("/raw/") else answers
        kinds = answers if status[0] == "2" else ["application/problem+json"]
        assert list(response["content"]) == kinds
    assert {"bearer": []} in operation["security"]
    assert operation["description"]


class Page(HTMLParser):
    """What the strict content security policy is about, and the headings."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.hosts: list[str] = []
        self.ids: set[str] = set()
        self.anchors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.inline += [name for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.inline.append(tag)
        for name in ("src", "href"):
            target = values.get(name, "")
            if target.startswith(("http:", "https:", "//")):
                self.hosts.append(target)
            if target.startswith("#"):
                self.anchors.append(target[1:])
        if "id" in values:
            assert values["id"] not in self.ids
            self.ids.add(values["id"])


def test_the_reference_shows_every_call_under_the_strict_policy(administrator: User) -> None:
    client = Client()
    client.force_login(administrator)
    answer = client.get("/api/docs/")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    text = answer.content.decode()
    page = Page()
    page.feed(text)
    assert page.inline == []
    assert page.hosts == []
    assert set(page.anchors) <= page.ids
    for path, method, operation in operations():
        assert operation["operationId"] in page.ids
        assert f"{method.upper()} " in text
        assert path in text
    assert "Idempotency-Key" in text
    assert "curl -X POST" in text


def test_the_reference_asks_to_sign_in_first(client: Client) -> None:
    answer = client.get("/api/docs/")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/login/")


def test_examples_on_the_reference_are_valid_json() -> None:
    bodies = [
        line.removeprefix("-d '").removesuffix("'")
        for section in docs.sections()
        for call in section["calls"]
        for line in call["curl"]
        if line.startswith("-d '")
    ]
    assert bodies
    for body in bodies:
        json.loads(body)
