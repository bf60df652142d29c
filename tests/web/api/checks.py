"""What every test of the API checks in the same way."""

from __future__ import annotations

import json
from typing import Any, Protocol


class Answer(Protocol):
    """A response of Django's test client or of httpx."""

    status_code: int
    content: bytes

    @property
    def headers(self) -> Any: ...


def assert_problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Check that the answer is a complete problem document and return it."""
    assert answer.status_code == status, answer.content[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.content)
    assert body["code"] == code
    assert body["type"] == f"/problems/{code.replace('_', '-')}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"].startswith("/")
    assert body["request_id"] == answer.headers["X-Request-ID"]
    for error in body.get("errors", []):
        assert {"pointer", "detail"} <= error.keys()
    return body


def pointers(problem: dict[str, Any]) -> list[str]:
    """Where the problem says that the mistakes are."""
    return [error["pointer"] for error in problem["errors"]]
