"""The REST API as the command line uses it: where it is, who asks, and what its problems mean."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from rayflow.cli import tokens
from rayflow.cli.errors import CommandError
from rayflow.cli.instance import DataFolder

USAGE, NOT_FOUND, CONFLICT, FAILED, TIMED_OUT = 2, 3, 4, 5, 6
EXIT_CODES = {400: USAGE, 404: NOT_FOUND, 409: CONFLICT, 422: CONFLICT}
PAGE = 200
POLL_SECONDS = 20.0
TERMINAL = ("SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED")


class Client:
    """A connection to one server.

    Raises from every call:
        CommandError: nothing answers, or the server refuses; the exit code tells which.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._http = httpx.Client(
            base_url=f"{self.url}/api/v1/", headers=headers, timeout=POLL_SECONDS + 40
        )

    def get(self, path: str, **query: Any) -> Any:
        """A resource; parameters that are None are left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._asked("GET", path, params=given)

    def post(self, path: str, body: Any = None) -> Any:
        """Ask for something."""
        return self._asked("POST", path, json=body)

    def delete(self, path: str) -> Any:
        """Ask for a delete."""
        return self._asked("DELETE", path)

    def rows(self, path: str, limit: int | None, **query: Any) -> Iterator[dict[str, Any]]:
        """The rows of a list, page after page, ``limit`` at most."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, limit=size, cursor=cursor, **query)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page["page"]["next"]
            if cursor is None:
                return

    def finished(self, operation: dict[str, Any], deadline: float | None) -> dict[str, Any]:
        """A command when it has ended well.

        Raises:
            CommandError: it failed, or is still under way at the deadline.
        """
        while operation["state"] not in ("SUCCEEDED", "FAILED"):
            wait = _left(deadline, f"the {operation['kind']} of {operation['workflow_id']}")
            operation = self.get(f"operations/{operation['id']}/", wait=wait)
        if operation["state"] == "FAILED":
            problem = operation["problem"] or {}
            raise CommandError(
                problem.get("detail") or f"the {operation['kind']} failed", exit_code=CONFLICT
            )
        return operation

    def statuses(self, workflow_id: str, deadline: float | None) -> Iterator[dict[str, Any]]:
        """The status of a workflow whenever it has changed, until it has ended.

        Raises:
            CommandError: it has not ended at the deadline.
        """
        path = f"workflows/{segment(workflow_id)}/status/"
        status = self.get(path)
        yield status
        while status["status"] not in TERMINAL or status["pending_command"]:
            wait = _left(deadline, f"workflow {workflow_id}")
            status = self.get(path, wait=min(wait, 2.0), until="change")
            yield status

    def _asked(self, method: str, path: str, **rest: Any) -> Any:
        try:
            answer = self._http.request(method, path, **rest)
        except httpx.HTTPError as error:
            raise CommandError(
                f"nothing answers at {self.url} ({error}); start it with `rayflow up`, or set RAYFLOW_URL"
            ) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _refused(answer)


def connect(url: str | None, data: DataFolder) -> Client:
    """The server at ``url``, with the token RAYFLOW_TOKEN; else the local instance of a data folder.

    Raises:
        CommandError: no token, or no instance.
    """
    token = os.environ.get("RAYFLOW_TOKEN")
    if url is not None and not url.startswith(("http://", "https://")):
        raise CommandError(f"{url!r} is no address; write http://host:port", exit_code=USAGE)
    if url is not None:
        if not token:
            raise CommandError(
                "set RAYFLOW_TOKEN to a token of that server; `rayflow token create NAME` makes one there",
                exit_code=USAGE,
            )
        return Client(url, token)
    address = data.run / "url"
    if not address.exists():
        raise CommandError(
            f"there is no instance in {data.path}; start one with `rayflow up`, name its --data-dir, or"
            " set RAYFLOW_URL and RAYFLOW_TOKEN",
            exit_code=USAGE,
        )
    return Client(address.read_text(encoding="utf-8").strip(), token or _local_token(data))


def segment(text: str) -> str:
    """An id as one part of a path."""
    return quote(text, safe="")


def deadline_in(seconds: float | None) -> float | None:
    """The moment in so many seconds, for the calls that wait."""
    return None if seconds is None else time.monotonic() + seconds


def _left(deadline: float | None, what: str) -> float:
    if deadline is None:
        return POLL_SECONDS
    left = deadline - time.monotonic()
    if left <= 0:
        raise CommandError(f"{what} is still under way; it goes on", exit_code=TIMED_OUT)
    return min(left, POLL_SECONDS)


def _refused(answer: httpx.Response) -> CommandError:
    problem: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        problem = answer.json()
    detail = problem.get("detail") or f"the server answered {answer.status_code}"
    for error in problem.get("errors") or ():
        pointer = error.get("pointer") or error.get("parameter") or ""
        if pointer and error.get("detail") and error["detail"] not in detail:
            detail += f"\n  {pointer}: {error['detail']}"
    if answer.status_code == 401:
        detail += " Set RAYFLOW_TOKEN to a token that is valid there."
    return CommandError(detail, exit_code=EXIT_CODES.get(answer.status_code, 1))


def _local_token(data: DataFolder) -> str:
    """A token of the local operator, made at the first use and kept where only its owner reads it."""
    path: Path = data.run / "cli-token"
    if not path.exists():
        made = tokens.create("command line", user="operator", scope="admin", data=data)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(made)
    return path.read_text(encoding="ascii").strip()
