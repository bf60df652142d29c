"""The OpenAPI schema: how it is generated, kept, and served."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView
from workflows_app.api.problems import BY_STATUS, CONTENT_TYPE

# What any call may answer besides its own result.
ALWAYS = (400, 401, 403, 406, 429, 503)
WITH_BODY = (411, 413, 415)
# What only single calls answer.
ALSO = {
    ("get", "/api/v1/compare/"): (404, 409),
    ("get", "/api/v1/workflow-counts/"): (422,),
    ("post", "/api/v1/workflows/"): (404,),
    ("post", "/api/v1/schedules/"): (404,),
}


class ProblemAwareSchema(AutoSchema):
    """drf-spectacular's schema, with tags taken from the views and stable operation names."""

    def get_operation_id(self) -> str:
        words = self.path.removeprefix("/api/v1/").strip("/").replace("-", "_").split("/")
        named = [word for word in words if not word.startswith("{")]
        many = bool(words) and not words[-1].startswith("{")
        suffix = "" if many or self.method != "GET" else "_detail"
        return f"{self.method.lower()}_{'_'.join(named)}{suffix}"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Documents `TokenAuthentication`."""

    target_class = "workflows_app.api.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API token, `rf_...`."}


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and what to do next."},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "Stable name of the problem."},
        "request_id": {"type": "string"},
        "retryable": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "detail"],
                "additionalProperties": True,
            },
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "additionalProperties": True,
}


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: every operation documents the problems it may answer."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            for status in _statuses(path, method):
                operation["responses"].setdefault(str(status), _response(status))
            _add_preconditions(operation)
            operation["responses"]["default"] = _response(None)
    return result


def _add_preconditions(operation: dict[str, Any]) -> None:
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    if "If-Match" in names:
        operation["responses"]["412"] = _response(412)
    if "If-None-Match" in names:
        operation["responses"]["304"] = {"description": "Nothing has changed."}


def _statuses(path: str, method: str) -> list[int]:
    missing = [404] if "{" in path else []
    # A workflow that has not succeeded has no output: that is a matter of its state, too.
    reading = [409] if path.endswith(("/output/", "/raw/")) or "/exports/" in path else []
    changing = reading if method == "get" else [409, 422]
    body = WITH_BODY if method in ("post", "put", "patch") else ()
    return sorted([*ALWAYS, *missing, *changing, *body, *ALSO.get((method, path), ())])


def _response(status: int | None) -> dict[str, Any]:
    titles = {
        409: "Not possible in the present state",
        412: "Changed meanwhile",
        422: "Idempotency key used before, or a count that takes too long",
    }
    known = BY_STATUS.get(status) if status is not None else None
    title = known.title if known else titles.get(status or 0, "Any other problem")
    reference = {"$ref": "#/components/schemas/Problem"}
    return {"description": title, "content": {CONTENT_TYPE: {"schema": reference}}}


@cache
def document() -> dict[str, Any]:
    """The schema of this version of the program, generated once per process."""
    generator: Any = SchemaGenerator
    schema: dict[str, Any] = generator().get_schema(request=None, public=True)
    return schema


class Schema(ApiView):
    """The OpenAPI document."""

    permission: ClassVar[str | None] = None

    @extend_schema(tags=["schema"], responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        """This API as OpenAPI 3.1, in JSON."""
        return Response(document())
