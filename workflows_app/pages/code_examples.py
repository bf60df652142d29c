"""What a page does, as commands and programs that can be copied: curl, Python, the command line."""

from __future__ import annotations

import json
import pprint
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

AUTHORIZATION = '-H "Authorization: Bearer $RAYFLOW_TOKEN"'


@dataclass(frozen=True, slots=True)
class Example:
    """One way to do it."""

    name: str
    text: str


def list_curl(request: HttpRequest, query: Mapping[str, str]) -> str:
    """The list of workflows through the API."""
    address = request.build_absolute_uri(reverse("api:workflows"))
    return _curl(f"{address}?{urlencode(query)}" if query else address)


def launch(
    request: HttpRequest, definition: str, params: Mapping[str, Any], workflow_id: str = ""
) -> list[Example]:
    """The launch of a definition, in every way there is beside the form."""
    body: dict[str, Any] = {"definition": definition, "params": params}
    if workflow_id:
        body["workflow_id"] = workflow_id
    address = request.build_absolute_uri(reverse("api:workflows"))
    return [
        Example("Python", _python(definition, params, workflow_id)),
        Example("curl", _curl(address, body)),
        Example("CLI", _command_line(definition, params, workflow_id)),
    ]


def _python(definition: str, params: Mapping[str, Any], workflow_id: str) -> str:
    given = pprint.pformat(dict(params), width=88, sort_dicts=False)
    named = f", workflow_id={workflow_id!r}" if workflow_id else ""
    lines = [
        "from rayflow import workflow",
        "from rayflow.definitions import launch",
        "",
        f"params = {given}",
        f"workflow_id = launch({definition!r}, params{named})",
        "result = workflow.get_output(workflow_id)",
    ]
    return "\n".join(lines)


def _curl(address: str, body: Mapping[str, Any] | None = None) -> str:
    parts = [f"curl {shlex.quote(address)}", AUTHORIZATION]
    if body is not None:
        parts.append('-H "Content-Type: application/json"')
        parts.append(f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n  ".join(parts)


def _command_line(definition: str, params: Mapping[str, Any], workflow_id: str) -> str:
    words = ["rayflow", "run", definition]
    if params:
        words += ["--params", json.dumps(params, ensure_ascii=False)]
    if workflow_id:
        words += ["--id", workflow_id]
    return shlex.join(words)
