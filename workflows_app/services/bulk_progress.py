"""Counting what became of a bulk operation's workflows, each exactly once."""

from __future__ import annotations

from uuid import UUID

from django.db.models import F
from django.utils import timezone

from workflows_app import after_commit
from workflows_app.models import (
    BulkItem,
    BulkItemState,
    BulkOperation,
    BulkState,
    Command,
)

OPEN_STATES = (BulkState.QUEUED, BulkState.RUNNING)
UNDER_WAY = (*OPEN_STATES, BulkState.PAUSED)


def command_finished(command: Command, *, detail: str) -> None:
    """Count a finished command of a bulk operation. Called in the transaction that finishes it.

    The counter's update locks the operation's row until commit, so of two commands that finish
    together the second sees the first one's item, and exactly one of them asks for more.
    """
    state = BulkItemState.FAILED if detail else BulkItemState.DONE
    counted = BulkItem.objects.filter(command=command, state=BulkItemState.SENT).update(
        state=state, detail=detail[:500]
    )
    if not counted or command.bulk_id is None:
        return
    count(command.bulk_id, done=int(not detail), failed=int(bool(detail)))
    if not BulkItem.objects.filter(bulk_id=command.bulk_id, state=BulkItemState.SENT).exists():
        after_commit.enqueue(after_commit.ADVANCE_BULK, str(command.bulk_id))


def count(bulk_id: UUID, *, done: int = 0, failed: int = 0, skipped: int = 0) -> None:
    """Add to the operation's counters."""
    BulkOperation.objects.filter(id=bulk_id).update(
        done=F("done") + done, failed=F("failed") + failed, skipped=F("skipped") + skipped
    )


def skip_waiting(bulk_id: UUID, why: str) -> None:
    """Leave out what has not been sent yet."""
    waiting = BulkItem.objects.filter(bulk_id=bulk_id, state=BulkItemState.WAITING)
    count(bulk_id, skipped=waiting.update(state=BulkItemState.SKIPPED, detail=why))


def close_if_finished(bulk_id: UUID) -> bool:
    """End the operation when every item has an outcome; tell whether it has ended."""
    open_items = BulkItem.objects.filter(
        bulk_id=bulk_id, state__in=[BulkItemState.WAITING, BulkItemState.SENT]
    )
    if open_items.exists():
        return False
    bulk = BulkOperation.objects.get(id=bulk_id)
    BulkOperation.objects.filter(id=bulk_id, state__in=OPEN_STATES).update(
        state=_outcome(bulk), finished_at=timezone.now()
    )
    return True


def _outcome(bulk: BulkOperation) -> BulkState:
    if bulk.failed == 0:
        return BulkState.SUCCEEDED
    return BulkState.PARTIAL if bulk.done else BulkState.FAILED
