"""Pausing, continuing, aborting and repeating a bulk operation."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from workflows_app import access, after_commit
from workflows_app.models import BulkItemState, BulkOperation, BulkState
from workflows_app.problems import Conflict, NotFound
from workflows_app.services import audit, bulk_progress

ENDED = (BulkState.PARTIAL, BulkState.FAILED, BulkState.ABORTED, BulkState.SUCCEEDED)


def pause_bulk(user: User, bulk: BulkOperation) -> None:
    """Send no more: what has been sent goes on, what waits keeps waiting.

    Raises:
        Forbidden: the account lacks the permission for bulk operations.
        Conflict: the operation is not under way.
    """
    _move(user, bulk, "pause", bulk_progress.OPEN_STATES, BulkState.PAUSED)


def unpause_bulk(user: User, bulk: BulkOperation) -> None:
    """Go on where it was paused.

    Raises:
        Forbidden: the account lacks the permission for bulk operations.
        Conflict: the operation is not paused.
    """
    with transaction.atomic():
        _move(user, bulk, "unpause", (BulkState.PAUSED,), BulkState.RUNNING)
        after_commit.enqueue(after_commit.ADVANCE_BULK, str(bulk.id))


def abort_bulk(user: User, bulk: BulkOperation) -> None:
    """Stop an operation: what has been sent goes on, what waits is skipped.

    Raises:
        Forbidden: the account lacks the permission for bulk operations.
        Conflict: the operation has ended already.
    """
    with transaction.atomic():
        _move(user, bulk, "abort", bulk_progress.UNDER_WAY, BulkState.ABORTED)
        bulk_progress.skip_waiting(bulk.id, "the operation was aborted")


def retry_failed(user: User, bulk: BulkOperation) -> int:
    """Send what has failed once more; how many that are.

    Raises:
        Forbidden: the account lacks the permission for bulk operations.
        Conflict: the operation is still under way, or nothing in it has failed.
    """
    with transaction.atomic():
        _move(user, bulk, "retry failed", ENDED, BulkState.QUEUED)
        again = bulk.items.filter(state=BulkItemState.FAILED).update(
            state=BulkItemState.WAITING, detail="", command=None
        )
        if not again:
            raise Conflict(f"Nothing of the bulk operation {bulk.id} has failed.")
        bulk_progress.count(bulk.id, failed=-again)
        BulkOperation.objects.filter(id=bulk.id).update(finished_at=None)
        after_commit.enqueue(after_commit.ADVANCE_BULK, str(bulk.id))
    return again


#: By their names in addresses.
VERBS: dict[str, Callable[[User, BulkOperation], object]] = {
    "pause": pause_bulk,
    "unpause": unpause_bulk,
    "abort": abort_bulk,
    "retry-failed": retry_failed,
}


def find_bulk(bulk_id: UUID) -> BulkOperation:
    """The operation, with who asked for it.

    Raises:
        NotFound: there is none.
    """
    bulk = BulkOperation.objects.select_related("created_by").filter(pk=bulk_id).first()
    if bulk is None:
        raise NotFound(f"There is no bulk operation {bulk_id}.")
    return bulk


def _move(
    user: User, bulk: BulkOperation, verb: str, before: tuple[BulkState, ...], after: BulkState
) -> None:
    access.require(user, "bulk")
    finished = timezone.now() if after is BulkState.ABORTED else bulk.finished_at
    with transaction.atomic():
        moved = BulkOperation.objects.filter(id=bulk.id, state__in=before).update(
            state=after, finished_at=finished
        )
        if not moved:
            bulk.refresh_from_db()
            raise Conflict(
                f"The bulk operation {bulk.id} is {bulk.state}; {verb} is possible while it is"
                f" {' or '.join(before)}.",
                extra={"current": {"state": bulk.state}},
            )
        audit.record(user, f"bulk {verb}", target=str(bulk.id))
