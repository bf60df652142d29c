"""Admission: which workflows may run, and which wait their turn."""

from __future__ import annotations

import queue
from collections.abc import Iterator

from rayflow.config import Limits


class Admission:
    """Slots are derived from the live workflows themselves, so none can leak."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running: dict[str, None] = {}
        self._pending: dict[str, None] = {}  # in order of arrival

    def enter(self, workflow_id: str) -> bool:
        """Take a slot (True) or a place in the queue (False).

        Raises:
            queue.Full: both are taken; the text is the old library's.
        """
        if not self._pending and self._has_slot():
            self._running[workflow_id] = None
            return True
        if self._limits.pending is not None and len(self._pending) >= self._limits.pending:
            raise queue.Full("Workflow queue has been full")
        self._pending[workflow_id] = None
        return False

    def has(self, workflow_id: str) -> bool | None:
        """Whether it has a slot (True), a place in the queue (False), or neither."""
        return (
            True
            if workflow_id in self._running
            else False
            if workflow_id in self._pending
            else None
        )

    def restore(self, workflow_id: str, *, is_running: bool) -> None:
        """Give it the slot, or the place at the end of the queue, that it has had before."""
        (self._running if is_running else self._pending)[workflow_id] = None

    def leave(self, workflow_id: str) -> None:
        """Give up the slot or the place, if it has one."""
        self._running.pop(workflow_id, None)
        self._pending.pop(workflow_id, None)

    def promoted(self) -> Iterator[str]:
        """Those that move from the queue into slots, in order."""
        while self._pending and self._has_slot():
            workflow_id = next(iter(self._pending))
            del self._pending[workflow_id]
            self._running[workflow_id] = None
            yield workflow_id

    def _has_slot(self) -> bool:
        return self._limits.running is None or len(self._running) < self._limits.running
