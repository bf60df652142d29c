"""What a worker had made durable, and could not tell of any more when it died."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from rayflow.core.outcomes import Outcome, outcome_of
from rayflow.errors import StorageError
from rayflow.storage.relays import relayed
from rayflow.storage.store import Store

logger = logging.getLogger("rayflow.engine")

Recall = Callable[[str, int, int], Awaitable[dict[tuple[str, int], Outcome]]]
"""Reads the relay of a worker: workflow, epoch, and number of the bundle; gives outcomes by task and attempt."""


def recaller(store: Store, io: Callable[[Callable[[], Any]], Awaitable[Any]]) -> Recall | None:
    """Reads relays in ``store``; None where there are none."""

    async def recall(workflow_id: str, epoch: int, number: int) -> dict[tuple[str, int], Outcome]:
        try:
            records = await io(lambda: relayed(store, workflow_id, epoch, number))
        except StorageError as error:
            logger.warning("workflow '%s': a relay is not read: %s", workflow_id, error)
            return {}
        return {(r.task_id or "", r.attempt or 0): outcome_of(r) for r in records}

    return recall if store.appends else None
