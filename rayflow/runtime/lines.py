"""What happens to workflows, as lines for the programs that asked for them; the engine's side.

A listener is one process: ``<Ray job id>:<random>``. What it does not fetch in time is left out and
counted; a listener that stops fetching is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rayflow.core.records import Kind, Record, WorkflowStatus

KEPT = 10_000
FORGOTTEN_AFTER_SECONDS = 60.0
GATHER_SECONDS = 0.1  # more follows at once: an answer for each line would cost more than a task

Line = tuple[int, str]  # a level of the module ``logging``, and a text


@dataclass(frozen=True, slots=True)
class Heard:
    """Lines since the last call, how many were ``left_out`` before them, and whether more may come."""

    lines: list[Line]
    left_out: int
    is_live: bool


@dataclass(slots=True)
class _Box:
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT))
    left_out: int = 0
    live: int = 0
    is_fresh: bool = True
    fetched: float = field(default_factory=time.monotonic)
    bell: asyncio.Event = field(default_factory=asyncio.Event)


class Lines:
    """Bounded boxes of lines, one for each listener."""

    def __init__(self) -> None:
        self._boxes: dict[str, _Box] = {}

    def opened(self, listener: str) -> None:
        """A workflow of ``listener`` has become live."""
        self._forget_the_silent()
        box = self._boxes.setdefault(listener, _Box())
        box.live, box.is_fresh = box.live + 1, False

    def closed(self, listener: str) -> None:
        """A workflow of ``listener`` is not live any more."""
        box = self._boxes.get(listener)
        if box is not None:
            box.live = max(0, box.live - 1)
            box.bell.set()

    def say(self, listener: str, lines: Sequence[Line]) -> None:
        """Put lines into the box of ``listener``, if it still has one."""
        box = self._boxes.get(listener)
        if box is None or not lines:
            return
        box.left_out += max(0, len(box.lines) + len(lines) - KEPT)
        box.lines.extend(lines)
        box.bell.set()

    async def fetch(self, listener: str, timeout: float) -> Heard:
        """What is in the box; waits up to ``timeout`` seconds for something to be there."""
        box = self._boxes.setdefault(listener, _Box())
        box.fetched = time.monotonic()
        box.bell.set()  # an older call of the same listener ends
        if not box.lines and (box.live or box.is_fresh) and timeout > 0:
            bell = box.bell = asyncio.Event()
            with suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), timeout)
                if box.live:
                    await asyncio.sleep(GATHER_SECONDS)
        heard = Heard(list(box.lines), box.left_out, box.live > 0)
        box.lines.clear()
        box.left_out, box.fetched = 0, time.monotonic()
        if not heard.is_live and self._boxes.get(listener) is box:
            del self._boxes[listener]
        return heard

    def _forget_the_silent(self) -> None:
        oldest = time.monotonic() - FORGOTTEN_AFTER_SECONDS
        for listener in [name for name, box in self._boxes.items() if box.fetched < oldest]:
            del self._boxes[listener]


class Narrator:
    """Tells the story of one workflow from the records that are committed.

    ``is_brief``: of its tasks only those that fail; the calls of an actor may be hundreds a second.
    """

    def __init__(self, workflow_id: str, *, is_brief: bool = False) -> None:
        self._workflow_id, self._is_brief = workflow_id, is_brief
        self._running: set[tuple[str | None, int | None]] = set()

    def tell(self, records: Sequence[Record]) -> list[Line]:
        """The lines that ``records`` are worth."""
        return [line for record in records for line in self._lines(record)]

    def _lines(self, record: Record) -> Iterator[Line]:
        match record.kind:
            case Kind.ACCEPTED:
                yield self._of_job("created")
            case Kind.RESUMED:
                yield self._of_job("resumed")
            case Kind.STATUS if not WorkflowStatus(record.data["status"]).is_live:
                yield self._of_job("ended", f", status={record.data['status']}")
            case Kind.STARTED | Kind.SUCCEEDED | Kind.CONTINUED if self._is_brief:
                return
            case Kind.SUCCEEDED | Kind.CONTINUED if "reused_from" in record.data:
                return  # it happened in the workflow that this one is a fork of
            case Kind.STARTED:
                yield from self._begun(record)
            case Kind.SUCCEEDED | Kind.CONTINUED:
                yield from self._ended(record, "SUCCESSFUL")
            case Kind.FAILED:
                yield from self._ended(record, "FAILED")
            case Kind.TASK_CANCELED:
                yield self._of_task(record, "CANCELED")

    def _begun(self, record: Record) -> Iterator[Line]:
        """Short attempts are over before their start is recorded: their end tells of it."""
        attempt = (record.task_id, record.attempt)
        if attempt not in self._running:
            self._running.add(attempt)
            yield self._of_task(record, "RUNNING")

    def _ended(self, record: Record, status: str) -> Iterator[Line]:
        if not record.data.get("caught"):  # the attempt has been told of as failed
            yield from self._begun(record)
        self._running.discard((record.task_id, record.attempt))
        yield self._of_task(record, status)

    def _of_job(self, what: str, more: str = "") -> Line:
        return logging.INFO, f'Workflow job {what}. [id="{self._workflow_id}"{more}]'

    def _of_task(self, record: Record, status: str) -> Line:
        level, why = logging.INFO, ""
        if status == "FAILED":
            error = record.data.get("error") or {}
            message = (str(error.get("message") or "").splitlines() or [""])[0]
            again = "; it is tried again" if record.data.get("next") == "retry" else ""
            level, why = logging.WARNING, f" due to {error.get('type')}: {message}{again}"
        return level, f"Task status [{status}]{why}\t[{self._workflow_id}@{record.task_id}]"
