"""The index: a shared log of workflow-level status changes, so that listing walks no folders.

An engine that takes over a root claims the next epoch, reads the newest one that has a snapshot, and
commits a snapshot of its own as its first batch; older epochs are deleted after that. A crash in
between leaves the older epoch in force.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from rayflow.core.records import WorkflowStatus
from rayflow.errors import FencedError, JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.log import Cursor, EpochLog
from rayflow.storage.store import Appender, Store

logger = logging.getLogger("rayflow.engine")

OWNER_FRESH_SECONDS = 10.0
DELETED = "DELETED"
SUSPENDED = "SUSPENDED"
_EPOCHS_PER_OWNER = 1_000_000

SCHEMA = pa.schema(
    [
        pa.field("workflow_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("created_at", pa.float64(), nullable=False),
        pa.field("changed_at", pa.float64(), nullable=False),
        pa.field("definition", pa.string()),
        pa.field("was", pa.string()),
        pa.field("actor", pa.string()),
    ],
    metadata={"rayflow.format": "1"},
)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What the index knows of one workflow. Times are Unix seconds.

    ``was`` is set for RESUMABLE workflows: what they were doing when their owner went
    away, or SUSPENDED. ``actor`` is the class of a virtual actor.
    """

    workflow_id: str
    status: str
    created_at: float
    changed_at: float
    definition: str | None = None
    was: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a root: an engine's instance, its cluster, and when it last said so (Unix seconds)."""

    instance: str
    cluster: str
    time: float
    released: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether the owner has given a sign of life lately."""
        return not self.released and time.time() - self.time < OWNER_FRESH_SECONDS


class Index:
    """The index of ``store``, or the part of it that an engine with another number than 0 keeps.

    One engine writes; anyone reads.
    """

    def __init__(self, store: Store, engine: int = 0) -> None:
        self._store = store
        self._log = EpochLog(store, layout.of_engine(layout.INDEX, engine), SCHEMA)
        self._owner = layout.of_engine(layout.OWNER, engine)
        self._epoch, self._cursor = 0, Cursor()

    def read(self) -> dict[str, IndexEntry]:
        """The newest entry of every workflow that exists.

        Raises:
            JournalCorruptError: the index is damaged; it can be rebuilt from the journals.
        """
        return self._read(self._log.epochs())

    def take_over(
        self,
        was_live: WorkflowStatus | None,
        rebuild: Callable[[Store], dict[str, IndexEntry]] | None = None,
        is_ours: Callable[[str], bool] = lambda workflow_id: True,
    ) -> dict[str, IndexEntry]:
        """Become the writer and return all entries.

        Args:
            rebuild: makes the entries of an index that is damaged.
            is_ours: which workflows this index is about; others are left out.
            was_live: the status to give to workflows that the last owner left RUNNING or PENDING
                (RESUMABLE on a new cluster), or None to leave them as they are.
        """
        epochs = self.claim()
        try:
            entries = self._read(epochs)
        except JournalCorruptError as error:
            if rebuild is None:
                raise
            logger.warning("%s It is rebuilt from the journals.", error)
            entries = rebuild(self._store)
        entries = {k: e for k, e in entries.items() if is_ours(k)}
        if was_live is not None:
            entries = {k: _left_behind(e, was_live) for k, e in entries.items()}
        self.append(entries.values())
        self._drop(epochs)
        return entries

    def rewrite(self, entries: Iterable[IndexEntry], after: int = 0) -> None:
        """Put ``entries`` in the place of all that is there, on behalf of no engine.

        Live workflows become RESUMABLE. ``after``: as for :meth:`claim`.

        Raises:
            FencedError: an engine takes the root in this moment.
            DataSaveError: the storage failed.
        """
        epochs = self.claim(after)
        self.append(_left_behind(e, WorkflowStatus.RESUMABLE) for e in entries)
        self._drop(epochs)

    def last_epoch(self) -> int:
        """The newest epoch, 0 if there is none."""
        return max(self._log.epochs(), default=0)

    def claim(self, after: int = 0) -> list[int]:
        """Become the writer, with an epoch behind ``after``; returns the epochs before.

        Raises:
            FencedError: an engine takes the root in this moment.
        """
        epochs = self._log.epochs()
        last = max(epochs, default=0)
        self._take(last + 1)  # the next one is what the last owner looks for
        if after > last:
            self._take(after + 1)
            epochs.append(last + 1)
        return epochs

    def _take(self, epoch: int) -> None:
        try:
            self._epoch, self._cursor = epoch, self._log.claim(epoch)
        except FileExistsError as error:
            raise FencedError(f"Another engine took the index of {self._store.uri}.") from error

    def _drop(self, epochs: Iterable[int]) -> None:
        for epoch in epochs:
            self._store.delete(
                f"{self._log.folder}/{epoch:06d}" + (".arrows" if self._store.appends else "")
            )

    def append(self, entries: Iterable[IndexEntry]) -> None:
        """Make status changes durable, all or none.

        Raises:
            FencedError: another engine owns the root now.
            DataSaveError: the storage failed.
        """
        with self._store.together() as group:
            settle = self.put(entries, group)
        settle()

    def put(self, entries: Iterable[IndexEntry], to: Appender) -> Callable[[], None]:
        """Like :meth:`append`, as one of a group of appends; call what it returns when that is durable."""
        rows = list(entries)
        columns = [pa.array([getattr(row, f.name) for row in rows], f.type) for f in SCHEMA]
        batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
        end = self._log.write(self._epoch, self._cursor, batch, to)

        def settle() -> None:
            self._cursor = end
            self._log.require_owned(self._epoch)

        return settle

    @property
    def first_epoch(self) -> int:
        """The first epoch of workflows that are made under this ownership of the root.

        An older owner's workflows stay below it, unless somebody resumes one of them a million times.
        """
        return 1 + _EPOCHS_PER_OWNER * max(0, self._epoch - 1)

    def require_owned(self) -> None:
        """Look whether somebody else has taken the root: what is deleted cannot be fenced afterwards.

        Raises:
            FencedError: another engine owns the root now.
            DataLoadError: the storage failed.
        """
        if self.last_epoch() != self._epoch:
            raise FencedError(f"Another engine took the index of {self._store.uri}.")

    def owner(self) -> Owner | None:
        """Who owns the root, as far as the heartbeat tells."""
        try:
            return Owner(**json.loads(self._store.read(self._owner)))
        except KeyError:
            return None

    def beat(self, owner: Owner) -> None:
        """Write a heartbeat."""
        self._store.write(self._owner, [json.dumps(asdict(owner)).encode()])

    def _read(self, epochs: Sequence[int]) -> dict[str, IndexEntry]:
        for epoch in reversed(epochs):
            entries: dict[str, IndexEntry] = {}
            has_snapshot = False
            for frame in self._log.read(epoch):
                has_snapshot = True
                for row in frame.batch.to_pylist():
                    if row["status"] == DELETED:
                        entries.pop(row["workflow_id"], None)
                    else:
                        entries[row["workflow_id"]] = IndexEntry(**row)
            if has_snapshot:
                return entries
        return {}


def _left_behind(entry: IndexEntry, status: WorkflowStatus) -> IndexEntry:
    if not WorkflowStatus(entry.status).is_live:
        return entry
    return replace(entry, status=str(status), changed_at=time.time(), was=entry.status)
