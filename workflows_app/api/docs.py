"""`/api/docs/`: the API reference, rendered from the schema, with nothing from another host."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from workflows_app.api import schema

METHODS = ("get", "post", "put", "patch", "delete")
SECTIONS = ("workflows", "tasks", "events", "metadata", "definitions", "operations")
EXAMPLE_VALUES = {"workflow_id": "my-run", "name": "digits_training", "task_id": "evaluate"}
REF_PREFIX = "#/components/schemas/"


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """The page: one section per resource, one card per call."""
    origin = f"{request.scheme}://{request.get_host()}"
    return render(request, "api_docs.html", {"sections": sections(), "origin": origin})


@cache
def sections() -> list[dict[str, Any]]:
    """The schema, arranged for reading: calls grouped by their tag, by paths inside."""
    document = schema.document()
    grouped: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                call = _call(document, path, method, operations[method])
                grouped.setdefault(operations[method]["tags"][0], []).append(call)
    # What a program is written for comes first; a tag that is not named here comes last.
    known = [name for name in SECTIONS if name in grouped]
    names = known + [name for name in grouped if name not in SECTIONS]
    return [{"name": name, "calls": grouped[name]} for name in names]


def _call(
    document: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> dict[str, Any]:
    body = _json_schema(operation.get("requestBody", {}))
    success, answer = next((s, r) for s, r in operation["responses"].items() if s[0] == "2")
    refused = [
        {"status": status, "title": response["description"]}
        for status, response in operation["responses"].items()
        if status[0] in "45"
    ]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "description": _plain(operation),
        "parameters": [_parameter(document, item) for item in operation.get("parameters", [])],
        "body": list(_fields(document, body)),
        "success": success,
        "answer": list(_fields(document, _json_schema(answer))),
        "refused": refused,
        "curl": _curl(document, path, method, body),
    }


def _json_schema(carrier: dict[str, Any]) -> dict[str, Any]:
    content = carrier.get("content", {}).get("application/json", {})
    found: dict[str, Any] = content.get("schema", {})
    return found


def _parameter(document: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": item["name"],
        "where": item["in"],
        "required": item.get("required", False),
        "type": _type(document, item["schema"]),
        "description": _plain(item),
    }


def _fields(
    document: dict[str, Any], carrier: dict[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[dict[str, Any]]:
    """Rows of a schema table; members of objects and of lists follow their parent, by full name."""
    resolved = _resolve(document, carrier)
    required = resolved.get("required", [])
    for name, member in resolved.get("properties", {}).items():
        yield {
            "name": prefix + name,
            "type": _type(document, member),
            "required": name in required,
            "description": _plain(member),
        }
        inner = _resolve(document, member)
        if depth < 2 and inner.get("type") == "array":
            yield from _fields(document, inner["items"], f"{prefix}{name}[].", depth + 1)
        elif depth < 2:
            yield from _fields(document, inner, f"{prefix}{name}.", depth + 1)


def _plain(carrier: dict[str, Any]) -> str:
    """The description without the Markdown that other readers of the schema make use of."""
    return str(carrier.get("description", "")).replace("`", "")


def _resolve(document: dict[str, Any], carrier: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and the wrappers that the generator puts around them."""
    for wrapper in ("allOf", "oneOf", "anyOf"):
        if wrapper in carrier:
            return _resolve(document, carrier[wrapper][0])
    if "$ref" in carrier:
        name = carrier["$ref"].removeprefix(REF_PREFIX)
        return _resolve(document, document["components"]["schemas"][name])
    return carrier


def _type(document: dict[str, Any], carrier: dict[str, Any]) -> str:
    resolved = _resolve(document, carrier)
    if "enum" in resolved:
        return " | ".join(str(value) for value in resolved["enum"])
    kind = resolved.get("type", "any")
    text = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if text == "array":
        return f"list of {_type(document, resolved['items'])}"
    return f"{text} ({resolved['format']})" if "format" in resolved else text


def _curl(document: dict[str, Any], path: str, method: str, body: dict[str, Any]) -> list[str]:
    """An example call; `$RAYFLOW_URL` and `$RAYFLOW_TOKEN` are what the command line reads too."""
    for name, value in EXAMPLE_VALUES.items():
        path = path.replace("{" + name + "}", value)
    path = path.replace("{operation_id}", "5f3c6f0e-6c1b-4a55-9d0e-0c6a4b9f2f11")
    lines = [f'curl -X {method.upper()} "$RAYFLOW_URL{path}"']
    lines.append('-H "Authorization: Bearer $RAYFLOW_TOKEN"')
    if body:
        required = _resolve(document, body).get("required", [])
        launch = {"definition": "digits_training", "params": {"folds": 3}}
        example = launch if "definition" in required else {}
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json.dumps(example))}")
    return lines
