"""The journal of one workflow: written by its owner, read by anyone.

Protocol of a change of ownership, and what a crash after each step leaves:

1. The new owner claims the next epoch (create-if-absent). *Crash: an empty epoch, which nobody heeds.*
2. It reads the epochs before. *Crash: as after 1.*
3. It commits a ``sealed`` record that states how many batches of each older epoch it has read, together with
   what workers had made durable for the last owner (:mod:`rayflow.storage.relays`). From here on readers
   ignore whatever else a fenced owner appends. *Crash: owned by nobody, nothing lost.*

An owner finds out that it is fenced when, after a commit, the next epoch exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rayflow.core.fusion import adopted
from rayflow.core.records import Fact, Kind, Record
from rayflow.core.state import WorkflowState
from rayflow.errors import FencedError, JournalCorruptError
from rayflow.storage import layout, relays
from rayflow.storage.log import Cursor, EpochLog, Frame
from rayflow.storage.records import SCHEMA, decoded, decoding, encoded
from rayflow.storage.store import Appender, Store


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has come: an epoch, a place in it, and the last sequence number read."""

    epoch: int = 0
    cursor: Cursor = Cursor()
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.epoch}:{self.cursor.batches}:{self.cursor.offset}:{self.seq}"

    @classmethod
    def parse(cls, text: str | None) -> Position:
        """The inverse of ``str``; nothing means the start."""
        if not text:
            return cls()
        epoch, batches, offset, seq = map(int, text.split(":"))
        return cls(epoch, Cursor(batches, offset), seq)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in order, the position behind them, and whether there are more.

    ``reset`` says that records given out before turned out to be a fenced owner's: this page starts
    anew at sequence 1, and the reader must forget what it had.
    """

    records: list[Record]
    position: str
    more: bool
    reset: bool = False


class JournalWriter:
    """The owner's end of a journal. Not safe for several threads at once."""

    def __init__(self, log: EpochLog, epoch: int, cursor: Cursor, last_seq: int) -> None:
        self._log, self.epoch, self._cursor, self.last_seq = log, epoch, cursor, last_seq

    def commit(self, records: Sequence[Record]) -> None:
        """Make ``records`` durable, all or none.

        Raises:
            FencedError: another owner has taken the workflow.
            FileExistsError: this was to be a new journal, and one exists.
            DataSaveError: the storage failed; the records are not committed.
        """
        with self._log.store.together() as group:
            settle = self.put(records, group)
        settle()

    def put(self, records: Sequence[Record], to: Appender) -> Callable[[], None]:
        """Like :meth:`commit`, as one of a group of appends; call what it returns when that is durable."""
        end = self._log.write(self.epoch, self._cursor, encoded(records), to)

        def settle() -> None:
            self._cursor, self.last_seq = end, records[-1].seq
            self._log.require_owned(self.epoch)

        return settle


@dataclass(slots=True)
class _Read:
    """How far some epochs have been read, and how many batches of each of them that is."""

    epochs: list[int]
    counts: dict[str, int] = field(default_factory=dict)
    end: Position = field(default_factory=Position)


class Journal:
    """The journal of ``workflow_id`` in ``store``."""

    def __init__(self, store: Store, workflow_id: str) -> None:
        self._store, self._workflow_id = store, workflow_id
        self._log = EpochLog(store, layout.journal(workflow_id), SCHEMA)
        self._read = _Read([])

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return bool(self._log.epochs())

    def create(self, epoch: int = 1) -> JournalWriter:
        """A writer for a workflow that has no journal yet; its first commit is the claim.

        ``epoch`` is higher than any that an engine can hold that was overtaken before an older workflow
        with this id was deleted, so whatever such an engine still writes is ignored.
        """
        return JournalWriter(self._log, epoch, Cursor(), 0)

    def claim(self, now: float, state: WorkflowState | None = None) -> JournalWriter | None:
        """Take over the workflow: claim, read, seal.

        What workers have made durable and the last owner has not written down is written now.

        Args:
            now: Unix time in seconds.
            state: what :meth:`replay` has made; what has been added since is applied to it.

        Returns:
            None if somebody else has claimed it since it was replayed: then replay it anew.

        Raises:
            FencedError: another owner was quicker.
            JournalCorruptError: the journal is damaged.
        """
        epochs = self._log.epochs()
        if state is not None and epochs != self._read.epochs:
            return None
        epoch = (epochs[-1] if epochs else 0) + 1
        try:
            cursor = self._log.claim(epoch)
        except FileExistsError as error:
            raise FencedError(
                f"Another engine claimed epoch {epoch} of workflow '{self._workflow_id}'."
            ) from error
        if state is None:
            self._read = _Read(epochs)
        apply = _ignore if state is None else state.apply
        self._read_on(apply)
        seal = Fact(Kind.SEALED, data={"epochs": self._read.counts}).at(self._read.end.seq + 1, now)
        apply(seal)
        writer = JournalWriter(self._log, epoch, cursor, seal.seq - 1)
        writer.commit([seal, *([] if state is None else self._relayed(state, now))])
        return writer

    def _relayed(self, state: WorkflowState, now: float) -> list[Record]:
        counts = self._read.counts
        owner = max((int(epoch) for epoch, count in counts.items() if count), default=0)
        found = relays.relayed(self._store, self._workflow_id, owner)
        return adopted(state, found, now) if found else []

    def replay(self) -> WorkflowState:
        """The state after all committed records, none of which is kept.

        Raises:
            JournalCorruptError: the journal is damaged.
        """
        state = WorkflowState()
        self._read = _Read(self._log.epochs())
        self._read_on(state.apply)
        return state

    def load(self) -> list[Record]:
        """All committed records.

        Raises:
            JournalCorruptError: the journal is damaged.
        """
        records: list[Record] = []
        self._read = _Read(self._log.epochs())
        self._read_on(records.append)
        return records

    def read(self, position: Position, limit: int) -> Page:
        """About ``limit`` records behind ``position`` (whole batches)."""
        epochs = self._log.epochs()
        if epochs and position.epoch == epochs[-1]:
            newest, limits = position.epoch, {}  # the usual case: its seal has been heeded before
        else:
            seals = self._seals(epochs)
            newest = max(seals, default=0)
            limits = seals.get(newest, {})
        counted = limits.get(position.epoch)
        if position.epoch and position.epoch < newest and position.cursor.batches > (counted or 0):
            fresh = self.read(Position(), limit)
            return Page(fresh.records, fresh.position, fresh.more, reset=True)
        records: list[Record] = []
        for epoch, frame in self._frames(epochs, limits, newest, position):
            if len(records) >= limit:
                return Page(records, str(position), more=True)
            records += decoded(frame.batch, after=position.seq)
            seq = records[-1].seq if records else position.seq
            position = Position(epoch, frame.end, seq)
        return Page(records, str(position), more=False)

    def _read_on(self, take: Callable[[Record], None]) -> None:
        """Take what is behind the end of what has been read."""
        read = self._read
        seals = self._seals(read.epochs)
        newest = max(seals, default=0)
        if not read.counts:
            read.counts = {str(e): 0 for e in read.epochs}
            read.counts.update({str(e): n for e, n in seals.get(newest, {}).items()})
        for epoch, frame in self._frames(read.epochs, seals.get(newest, {}), newest, read.end):
            last = read.end.seq
            for record in decoding(frame.batch, after=last):
                take(record)
                last = record.seq
            read.counts[str(epoch)] = frame.end.batches
            read.end = Position(epoch, frame.end, last)

    def _seals(self, epochs: Sequence[int]) -> dict[int, dict[int, int]]:
        """For every epoch that counts: how many batches of each older epoch count.

        The first epoch of a workflow needs no seal: nothing is older.
        """
        if len(epochs) == 1:
            return {epochs[0]: {}}
        seals: dict[int, dict[int, int]] = {}
        for epoch in reversed(epochs):
            first = next(iter(self._log.read(epoch)), None)
            if first is None:
                continue
            record = decoded(first.batch)[0]
            sealed = record.data["epochs"] if record.kind == Kind.SEALED else {}
            seals[epoch] = {int(e): n for e, n in sealed.items()}
            break  # the newest seal speaks for all that is older
        return seals

    def _frames(
        self, epochs: Sequence[int], limits: dict[int, int], newest: int, position: Position
    ) -> Iterator[tuple[int, Frame]]:
        """The committed frames behind ``position``, over all epochs that count."""
        for epoch in epochs:
            if epoch < position.epoch or epoch > newest:
                continue
            cursor = position.cursor if epoch == position.epoch else None
            count = limits.get(epoch) if epoch < newest else None
            if epoch < newest and not count:
                continue
            done = cursor.batches if cursor else 0
            if count is not None and done >= count:
                continue
            for frame in self._log.read(epoch, cursor):
                yield epoch, frame
                done = frame.end.batches
                if done == count:
                    break
            if count is not None and done < count:
                raise JournalCorruptError(
                    f"Epoch {epoch} of workflow '{self._workflow_id}' has {done} readable batches "
                    f"of {count} that were committed; restore the file from a copy."
                )


def _ignore(record: Record) -> None:
    """Nobody wants to know."""


def first_record(store: Store, folder: str) -> Record | None:
    """The first record of the journal in ``folder``, if that can be read."""
    log = EpochLog(store, folder, SCHEMA)
    try:
        first = next(iter(log.read(min(log.epochs(), default=0))), None)
    except JournalCorruptError:
        return None
    return decoded(first.batch)[0] if first else None
