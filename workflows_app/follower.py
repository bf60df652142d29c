"""The follower: carries what the journals say into the registry.

It waits for the engine's news, reads the records behind each workflow's position and has them
stored. Once at the start, every minute, and whenever the engine cannot tell what it missed, it
compares the registry with the index of the storage; that finds workflows started outside Django
or while nobody followed, deleted ones, and ones whose owner is gone. While the engine cannot be
reached, it goes on with that comparison alone, so the registry shows what the storage says.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone

from workflows_app import after_commit, projection
from workflows_app.folding import moment
from workflows_app.gateway import EngineProblem, Entry, Gateway, RecordPage
from workflows_app.models import FollowerState, Workflow, WorkflowStatus
from workflows_app.record_kinds import SequenceGap

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
RECONCILE_SECONDS = 60.0
# While the engine is unreachable, the storage is looked at this often.
FALLBACK_SECONDS = 3.0
# One transaction holds about this many records, of at most this many workflows.
BATCH_RECORDS = 10_000
BATCH_WORKFLOWS = 200
# The index and the journal note the time of one change at slightly different moments.
SAME_CHANGE_SECONDS = 1.0

# Not the fault of any record: the whole step is tried again.
DATABASE_DOWN = (OperationalError, InterfaceError)

LIVE = frozenset({WorkflowStatus.PENDING, WorkflowStatus.RUNNING})
SHOWS_OWNER = LIVE | {WorkflowStatus.RESUMABLE}


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry holds of one workflow, as far as the comparison needs it."""

    created_at: datetime
    changed_at: datetime
    status: str
    has_problem: bool


class Follower:
    """Follows one storage root. Used by one thread."""

    def __init__(self, engine: Gateway) -> None:
        self._engine = engine
        state = FollowerState.objects.filter(id=1).first()
        self._cursor: str | None = (state.cursor or None) if state else None
        self._next_reconcile = 0.0
        self._was_reachable: bool | None = None

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set. Errors are noted and followed by another try."""
        while not stop.is_set():
            try:
                is_reachable = self._try_step()
            except DATABASE_DOWN as error:
                logger.warning("The database did not answer, trying again: %s", error)
                is_reachable = False
            close_old_connections()
            if not is_reachable:
                stop.wait(FALLBACK_SECONDS)

    def _try_step(self) -> bool:
        try:
            return self.step(POLL_SECONDS)
        except EngineProblem as problem:
            logger.warning("The storage cannot be read: %s", problem)
            self._note(reachable=False, detail=str(problem))
            return False

    def step(self, timeout: float) -> bool:
        """Wait for news once and take it in; tell whether the engine could be reached.

        Raises:
            EngineProblem: not even the storage could be read.
        """
        try:
            news = self._engine.changes(self._cursor, timeout)
        except EngineProblem as problem:
            self._cursor = None
            self.reconcile()
            self._note(reachable=False, detail=problem.detail)
            return False
        if news.reset or time.monotonic() >= self._next_reconcile:
            self.reconcile()
        self.follow(news.workflow_ids)
        self._cursor = news.cursor
        self._note(reachable=True, detail="")
        return True

    # --- records ----------------------------------------------------------------------------

    def follow(self, workflow_ids: Iterable[str], entries: dict[str, Entry] | None = None) -> None:
        """Store the new records of these workflows.

        Args:
            entries: the index, if the caller has read it already.
        """
        waiting = deque(dict.fromkeys(workflow_ids))
        unchanged: list[str] = []
        while waiting:
            pages = self._read_batch(waiting, entries or {})
            unchanged += [key for key, page in pages.items() if not page.records]
            self._store(pages, entries or {})
            waiting.extend(key for key, page in pages.items() if page.more)
        if unchanged and entries is None:
            # News without a record: it may have been deleted.
            self._forget_deleted(unchanged)

    def _read_batch(self, waiting: deque[str], entries: dict[str, Entry]) -> dict[str, RecordPage]:
        """Take workflows from the queue and read a page of each until a transaction is full."""
        chunk = [waiting.popleft() for _ in range(min(len(waiting), BATCH_WORKFLOWS))]
        positions = dict(
            Workflow.objects.filter(workflow_id__in=chunk).values_list("workflow_id", "position")
        )
        pages: dict[str, RecordPage] = {}
        size = 0
        while chunk and size < BATCH_RECORDS:
            workflow_id = chunk.pop(0)
            page = self._read(workflow_id, positions.get(workflow_id) or None, entries)
            if page is not None:
                pages[workflow_id] = page
                size += len(page.records)
        waiting.extendleft(reversed(chunk))
        return pages

    def _read(
        self, workflow_id: str, position: str | None, entries: dict[str, Entry]
    ) -> RecordPage | None:
        """One page, or None when the journal is damaged (noted) or gone (forgotten).

        Raises:
            EngineProblem: the storage as a whole cannot be reached.
        """
        try:
            return self._engine.records(workflow_id, position)
        except EngineProblem as problem:
            if problem.retryable:
                raise
            if problem.code == "not_found":
                projection.forget([workflow_id])
            else:
                logger.error("The journal of %r cannot be read: %s", workflow_id, problem)
                projection.note_problem(workflow_id, str(problem), entries.get(workflow_id))
            return None

    def _store(self, pages: dict[str, RecordPage], entries: dict[str, Entry]) -> None:
        """Store a batch; if one workflow's records spoil it, store the others without them."""
        resets = {key for key, page in pages.items() if page.reset}
        batch = {key: page for key, page in pages.items() if key not in resets}
        try:
            projection.apply(batch)
        except DATABASE_DOWN:
            raise
        except Exception:  # noqa: BLE001 - found again one by one below, where it is noted
            logger.info("A batch of %d workflows is stored one by one", len(batch))
            for workflow_id, page in batch.items():
                self._store_alone(workflow_id, page, entries)
        for workflow_id in resets:
            self._replace(workflow_id, pages[workflow_id], entries)

    def _store_alone(self, workflow_id: str, page: RecordPage, entries: dict[str, Entry]) -> None:
        try:
            projection.apply({workflow_id: page})
        except DATABASE_DOWN:
            raise
        except SequenceGap as gap:
            logger.warning("Workflow %r is read again from the start: %s", workflow_id, gap)
            first = self._read(workflow_id, None, entries)
            if first is not None:
                self._replace(workflow_id, first, entries)
        except Exception as error:  # noqa: BLE001 - noted with the workflow, for everyone to see
            self._note_unreadable(workflow_id, error, entries)

    def _replace(self, workflow_id: str, first: RecordPage, entries: dict[str, Entry]) -> None:
        """Store a whole journal anew, page after page."""
        try:
            projection.replace(workflow_id, first)
            page: RecordPage | None = first
            while page is not None and page.more:
                page = self._read(workflow_id, page.position, entries)
                if page is not None:
                    projection.apply({workflow_id: page})
        except (EngineProblem, *DATABASE_DOWN):
            raise
        except Exception as error:  # noqa: BLE001 - noted with the workflow, for everyone to see
            self._note_unreadable(workflow_id, error, entries)

    def _note_unreadable(
        self, workflow_id: str, error: Exception, entries: dict[str, Entry]
    ) -> None:
        logger.exception("The records of %r cannot be stored", workflow_id)
        projection.note_problem(
            workflow_id,
            f"The journal of {workflow_id!r} was read but not understood"
            f" ({type(error).__name__}: {error}); the follower's log has the details.",
            entries.get(workflow_id),
        )

    # --- comparison with the index ----------------------------------------------------------

    def reconcile(self) -> None:
        """Make the registry agree with the storage's index.

        Raises:
            EngineProblem: the storage cannot be read.
        """
        looked_at = timezone.now()
        entries = {entry.workflow_id: entry for entry in self._engine.entries()}
        known = _registry()
        gone = known.keys() - entries.keys()
        if gone:
            logger.info("%d workflows are gone from the storage", len(gone))
            projection.forget(gone)
        reborn = {key for key, entry in entries.items() if _may_be_another(entry, known.get(key))}
        for workflow_id in reborn:
            self._replace_if_reborn(workflow_id, known[workflow_id], entries)
        stale = [key for key, entry in entries.items() if _is_stale(entry, known.get(key))]
        self.follow(stale, entries)
        self._show_owners(entries, looked_at)
        self._next_reconcile = time.monotonic() + RECONCILE_SECONDS
        projection.note_follower(reconciled_at=timezone.now())

    def _replace_if_reborn(self, workflow_id: str, known: Known, entries: dict[str, Entry]) -> None:
        """Start anew if the id was deleted and given to another workflow while nobody followed."""
        page = self._read(workflow_id, None, entries)
        if page is not None and page.records and moment(page.records[0].time) != known.created_at:
            self._replace(workflow_id, page, entries)

    def _show_owners(self, entries: dict[str, Entry], looked_at: datetime) -> None:
        """Where owner and journal disagree about RUNNING and RESUMABLE, the owner is right."""
        rows = Workflow.objects.filter(
            status__in=SHOWS_OWNER, changed_at__lt=looked_at, journal_problem=""
        ).values_list("workflow_id", "status")
        for workflow_id, status in list(rows):
            entry = entries.get(workflow_id)
            if entry is not None and entry.status != status and entry.status in SHOWS_OWNER:
                projection.overlay_status(workflow_id, entry=entry, seen=status)

    def _forget_deleted(self, workflow_ids: Collection[str]) -> None:
        known = set(
            Workflow.objects.filter(workflow_id__in=workflow_ids).values_list(
                "workflow_id", flat=True
            )
        )
        if known:
            existing = {entry.workflow_id for entry in self._engine.entries()}
            projection.forget(known - existing)

    # --- freshness --------------------------------------------------------------------------

    def _note(self, *, reachable: bool, detail: str) -> None:
        projection.note_follower(
            cursor=self._cursor or "",
            heartbeat_at=timezone.now(),
            engine_reachable=reachable,
            detail=detail[:500],
        )
        if reachable != self._was_reachable:
            self._was_reachable = reachable
            after_commit.ring({"overview": 0})


def _registry() -> dict[str, Known]:
    rows = Workflow.objects.values_list(
        "workflow_id", "created_at", "changed_at", "status", "journal_problem"
    )
    return {
        workflow_id: Known(created_at, changed_at, status, bool(problem))
        for workflow_id, created_at, changed_at, status, problem in rows.iterator()
    }


def _is_stale(entry: Entry, known: Known | None) -> bool:
    """Whether there may be records that the registry lacks."""
    if known is None or known.has_problem or known.status in LIVE:
        return True
    newer = moment(entry.changed_at) - known.changed_at
    return newer.total_seconds() > SAME_CHANGE_SECONDS or (
        entry.status != known.status and known.status != WorkflowStatus.RESUMABLE
    )


def _may_be_another(entry: Entry, known: Known | None) -> bool:
    """Whether the index tells another birthday than the registry."""
    if known is None or known.has_problem:
        return False
    apart = abs((moment(entry.created_at) - known.created_at).total_seconds())
    return apart > SAME_CHANGE_SECONDS
