"""What a runner needs besides its own workflow: time, a journal, a place to run attempts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rayflow.core.records import Record
from rayflow.core.state import WorkflowState
from rayflow.errors import DataSaveError
from rayflow.runtime.submitter import Chains, Submitter
from rayflow.storage.index import IndexEntry
from rayflow.storage.store import Appender

logger = logging.getLogger("rayflow.engine")


class Writer(Protocol):
    """The owner's end of a journal."""

    last_seq: int
    epoch: int

    def commit(self, records: Sequence[Record]) -> None: ...

    def put(self, records: Sequence[Record], to: Appender) -> Callable[[], None]: ...


class Commit(Protocol):
    """Makes records durable, and then an entry of the index."""

    async def __call__(
        self, writer: Writer, records: Sequence[Record], entry: IndexEntry | None = None
    ) -> None: ...


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
    host: Submitter  # for attempts that need no process of their own
    clock: Clock
    commit: Commit
    window: Callable[[], int]
    committed: Callable[[WorkflowState, Sequence[Record]], None]
    listener: str | None = None
    chains: Chains | None = None  # where an attempt may follow another one in its worker


async def write(
    around: Surroundings,
    writer: Writer,
    records: Sequence[Record],
    *,
    workflow_id: str,
    patience: float,
    entry: IndexEntry | None = None,
) -> None:
    """Commit, and have patience with a storage that fails: nothing is lost by waiting.

    Raises:
        FencedError: another engine owns the workflow now.
        DataSaveError: the storage refused for ``patience`` seconds.
    """
    deadline, delay = around.clock.now() + patience, 0.1
    while True:
        try:
            await around.commit(writer, records, entry)
            return
        except DataSaveError as error:
            if around.clock.now() + delay > deadline:
                raise
            logger.warning("workflow '%s': %s Trying again.", workflow_id, error)
            await around.clock.sleep(delay)
            delay = min(delay * 2, 5.0)
