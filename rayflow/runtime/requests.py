"""What somebody wants to have recorded, and waits for until it is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rayflow.core.records import Fact
from rayflow.errors import WorkflowEndedError, WorkflowError


class Requests:
    """The requests to one workflow that have not been answered."""

    def __init__(self) -> None:
        self._open: set[asyncio.Future[None]] = set()
        self._in_commit: list[asyncio.Future[None]] = []
        self._ended: WorkflowEndedError | None = None

    def ask(self) -> asyncio.Future[None]:
        """A new request; the answer comes when its facts are durable, or are refused."""
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.add(asked)
        if self._ended is not None:
            self._answer(asked, self._ended)
        return asked

    def take(self, asked: asyncio.Future[None], facts: Callable[[], list[Fact]]) -> list[Fact]:
        """The facts of a request whose turn has come; none if they are refused."""
        try:
            found = facts()
        except WorkflowError as error:
            self._answer(asked, error)
            return []
        self._in_commit.append(asked)
        return found

    def committed(self) -> None:
        """The facts taken so far are durable."""
        done, self._in_commit = self._in_commit, []
        for asked in done:
            self._answer(asked)

    def abandon(self, workflow_id: str) -> None:
        """Nobody drives the workflow any more: who waits, and who comes later, must ask anew."""
        self._in_commit.clear()
        self._ended = WorkflowEndedError(workflow_id)
        for asked in list(self._open):
            self._answer(asked, self._ended)

    def _answer(self, asked: asyncio.Future[None], error: WorkflowError | None = None) -> None:
        self._open.discard(asked)
        if asked.done():  # who asked has gone
            return
        if error is None:
            asked.set_result(None)
        else:
            asked.set_exception(error)
