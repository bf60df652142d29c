"""What a runner needs besides its own workflow: time, a journal, a place to run attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rayflow.core.records import Record
from rayflow.core.state import WorkflowState
from rayflow.runtime.submitter import Submitter


class Writer(Protocol):
    """The owner's end of a journal."""

    last_seq: int

    def commit(self, records: Sequence[Record]) -> None: ...


class Clock(Protocol):
    """Time, so that tests can make it."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a runner needs besides its own workflow."""

    storage: str
    submitter: Submitter
    clock: Clock
    io: Callable[[Callable[[], None]], Awaitable[None]]
    window: Callable[[], int]
    committed: Callable[[WorkflowState], None]
