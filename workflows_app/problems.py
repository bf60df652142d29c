"""The errors a person or program gets back, each with a code, a status and a next step.

Views, the API and the admin raise and render these; nothing else crosses that line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Problem(Exception):
    """A request that cannot be served.

    Args:
        detail: what happened, to which workflow, and what to do next.
        code: a short stable name; the class's own when not given.
        errors: for invalid input, one ``{"pointer": "/folds", "detail": "…"}`` per mistake.
        extra: further members of the problem document, such as the current state.
    """

    status = 500
    default_code = "internal"
    title = "Something went wrong"

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = [dict(error) for error in errors]
        self.extra = dict(extra or {})

    def as_dict(self) -> dict[str, Any]:
        """The problem as a JSON document (RFC 9457 members), for storing and for answers."""
        document: dict[str, Any] = {
            "code": self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        return {**document, **self.extra}


class Invalid(Problem):
    """The input breaks a rule; `errors` says where."""

    status = 400
    default_code = "validation_error"
    title = "The request is not valid"


class Forbidden(Problem):
    """The account lacks a permission, which the detail names."""

    status = 403
    default_code = "forbidden"
    title = "Permission missing"


class NotFound(Problem):
    """There is no such thing, or this account may not know of it."""

    status = 404
    default_code = "not_found"
    title = "Not found"


class Conflict(Problem):
    """The request does not fit the present state."""

    status = 409
    default_code = "state_conflict"
    title = "Not possible in the present state"


class Stale(Problem):
    """What the request is about has changed since the caller read it (If-Match)."""

    status = 412
    default_code = "stale"
    title = "Changed meanwhile"


class Mismatch(Problem):
    """An idempotency key was used again with a different request."""

    status = 422
    default_code = "idempotency_mismatch"
    title = "Idempotency key used for a different request"


class Unavailable(Problem):
    """A part RayFlow needs cannot be reached now; trying again later is right."""

    status = 503
    default_code = "unavailable"
    title = "Temporarily unavailable"
