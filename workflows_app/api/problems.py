"""Every error the API answers, in one format: RFC 9457 `application/problem+json`.

`handle` is the only exception handler of the API. `middleware.api_boundary` uses the same `Fault`
for what never reaches a view: an unknown path, a failing middleware, an unhandled exception.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions

from workflows_app.api.pointers import join
from workflows_app.gateway import EngineProblem
from workflows_app.middleware import current_request_id
from workflows_app.problems import Problem

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, before it is bound to a request.

    `code` is snake_case and stable; `title` is the same for every problem of a code; `detail` says
    what happened this time and what to do about it.
    """

    code: str
    status: int
    title: str
    detail: str
    errors: Sequence[Mapping[str, Any]] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, request: HttpRequest) -> HttpResponse:
        body: dict[str, Any] = {
            **self.extra,
            "type": f"/problems/{self.code.replace('_', '-')}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": request.get_full_path(),
            "code": self.code,
            "request_id": current_request_id(),
            "retryable": bool(self.extra.get("retryable", self.status in RETRYABLE)),
        }
        if self.errors:
            body["errors"] = [dict(error) for error in self.errors]
        return JsonResponse(
            body, status=self.status, content_type=CONTENT_TYPE, headers=dict(self.headers)
        )


RETRYABLE = frozenset({429, 502, 503, 504})

# Faults known by their HTTP status alone: what the router, a middleware or Django itself answers.
BY_STATUS: dict[int, Fault] = {
    400: Fault("bad_request", 400, "Bad request", "The server could not read this request."),
    401: Fault(
        "unauthenticated", 401, "Authentication required", "Send `Authorization: Bearer <token>`."
    ),
    403: Fault("forbidden", 403, "Forbidden", "You may not do this."),
    404: Fault("not_found", 404, "Not found", "Nothing lives at this path; see /api/docs/."),
    405: Fault("method_not_allowed", 405, "Method not allowed", "See the Allow header."),
    406: Fault("not_acceptable", 406, "Not acceptable", "This API answers application/json."),
    411: Fault("length_required", 411, "Length required", "Send the body with Content-Length."),
    413: Fault("payload_too_large", 413, "Body too large", "The body exceeds the size limit."),
    415: Fault("unsupported_media_type", 415, "Unsupported media type", "Send application/json."),
    429: Fault("rate_limited", 429, "Too many requests", "Wait, then repeat the request."),
    503: Fault("unavailable", 503, "Service unavailable", "Wait, then repeat the request."),
}
INTERNAL = Fault(
    "internal",
    500,
    "Internal error",
    "The server failed on this request and logged why under this request_id. Nothing that was "
    "accepted before is lost; repeat the request or report the id.",
)


def for_status(status: int) -> Fault:
    """The fault for a response that only has a status."""
    known = BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return INTERNAL
    return Fault("bad_request", status, "Bad request", "The server refused this request.")


def handle(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Django REST framework's exception handler.

    An exception that means nothing here is left to Django, which logs it and answers 500;
    `api_boundary` gives that answer its problem body.
    """
    fault = fault_of(exc)
    if fault is None:
        return None
    return fault.response(context["request"]._request)


def fault_of(exc: Exception) -> Fault | None:
    """Translate an exception; None when it is a defect and not an answer."""
    if isinstance(exc, Problem):
        return Fault(exc.code, exc.status, exc.title, exc.detail, exc.errors, exc.extra)
    if isinstance(exc, EngineProblem):
        return Fault(
            exc.code, exc.status, exc.title, exc.detail, extra={"retryable": exc.retryable}
        )
    if isinstance(exc, exceptions.ValidationError):
        return _invalid(exc)
    if isinstance(exc, exceptions.APIException):
        return _api_fault(exc)
    if isinstance(exc, Http404):
        return _with_detail(BY_STATUS[404], str(exc))
    if isinstance(exc, PermissionDenied):
        return _with_detail(BY_STATUS[403], str(exc))
    if isinstance(exc, RequestDataTooBig):
        return BY_STATUS[413]
    if isinstance(exc, SuspiciousOperation):
        return BY_STATUS[400]
    if isinstance(exc, OperationalError):
        return Fault("unavailable", 503, "Database unavailable", "The registry did not answer.")
    return None


def _with_detail(fault: Fault, detail: str, **changes: Any) -> Fault:
    return Fault(
        changes.get("code", fault.code),
        fault.status,
        fault.title,
        detail or fault.detail,
        headers=changes.get("headers", {}),
    )


def _api_fault(exc: exceptions.APIException) -> Fault:
    detail = str(exc.detail) if isinstance(exc.detail, str) else ""
    headers: dict[str, str] = {}
    challenge = getattr(exc, "auth_header", None)
    if challenge:
        headers["WWW-Authenticate"] = challenge
    wait = getattr(exc, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(math.ceil(wait))
    code = for_status(exc.status_code).code
    if isinstance(exc, exceptions.ParseError):
        code = "malformed_body"
    elif isinstance(exc, exceptions.PermissionDenied) and detail.startswith("CSRF"):
        code = "csrf_failed"
    return _with_detail(for_status(exc.status_code), detail, code=code, headers=headers)


def _invalid(exc: exceptions.ValidationError) -> Fault:
    errors = list(_pointers(exc.detail, ""))
    where = ", ".join(dict.fromkeys(error["pointer"] or "the body" for error in errors))
    return Fault(
        "validation_error",
        400,
        "The request does not fit its schema",
        f"Correct {where} and repeat the request.",
        errors,
    )


def _pointers(detail: Any, pointer: str) -> list[dict[str, str]]:
    """Flatten DRF's nested error detail to JSON pointers."""
    if isinstance(detail, Mapping):
        return [
            error
            for key, value in detail.items()
            for error in _pointers(
                value, pointer if key == "non_field_errors" else join(pointer, key)
            )
        ]
    if isinstance(detail, (list, tuple)):
        nested = any(isinstance(value, Mapping) for value in detail)
        return [
            error
            for index, value in enumerate(detail)
            for error in _pointers(value, join(pointer, index) if nested else pointer)
        ]
    return [{"pointer": pointer, "detail": str(detail)}]
