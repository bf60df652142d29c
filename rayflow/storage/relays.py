"""Relays: where workers make outcomes durable, for the engine to write them into the journal.

A relay is a stream of journal batches beside the journal, ``relays/<epoch>/<number>.arrows``; only one worker
writes it. What it holds counts for as long as the workflow belongs to the owner of that epoch: a worker looks
after each write whether the next epoch exists, and a new owner claims first and reads afterwards, so whatever
a worker has relied on is seen. Only stores that append have relays.
"""

from __future__ import annotations

from collections.abc import Sequence

from rayflow.core.records import Record
from rayflow.errors import FencedError
from rayflow.storage import layout
from rayflow.storage.log import Cursor, EpochLog
from rayflow.storage.records import SCHEMA, decoded, encoded
from rayflow.storage.store import Store


class Relay:
    """The relay ``number`` of a workflow, in the hands of the worker that writes it."""

    def __init__(self, store: Store, workflow_id: str, epoch: int, number: int) -> None:
        self._journal = EpochLog(store, layout.journal(workflow_id), SCHEMA)
        self._log = EpochLog(store, layout.relays(workflow_id, epoch), SCHEMA)
        self._workflow_id, self._epoch, self._number = workflow_id, epoch, number
        self._cursor = Cursor()

    def put(self, records: Sequence[Record]) -> None:
        """Make outcomes durable.

        Raises:
            FencedError: another engine owns the workflow now; they do not count.
            FileExistsError: the relay exists.
            DataSaveError, DataLoadError: the storage failed; they may count or not.
        """
        self._cursor = self._log.write(self._number, self._cursor, encoded(records))
        if self._journal.is_over(self._epoch):
            raise FencedError(f"Epoch {self._epoch} of workflow '{self._workflow_id}' is over.")


def relayed(store: Store, workflow_id: str, epoch: int, number: int | None = None) -> list[Record]:
    """What workers have made durable for the owner of ``epoch``, in one relay or in all of them.

    Raises:
        JournalCorruptError: a relay is damaged.
        DataLoadError: the storage failed.
    """
    log = EpochLog(store, layout.relays(workflow_id, epoch), SCHEMA)
    numbers = log.epochs() if number is None else [number]
    return [r for n in numbers for frame in log.read(n) for r in decoded(frame.batch)]
