"""Several engines share a root: which of them owns which workflow, and how their number changes.

Each engine has an index, a redo log and a heartbeat of its own. A workflow belongs to the engine that a
hash of its id names, and an entry counts in the index of that engine alone. How many engines there are
stands in the root; it changes when none of them lives:

1. All indexes are claimed, so that no engine of before can write any more, and the first one gets the
   entries of all. *Crash: done again.*
2. The root says that there is one engine. *Crash: all entries are in its index.*
3. The indexes of the others are written, each with its own entries. *Crash: nobody reads them yet.*
4. The root says how many engines there are.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from rayflow.core.ids import shard
from rayflow.errors import JournalCorruptError
from rayflow.storage import layout
from rayflow.storage.index import Index, IndexEntry, Owner
from rayflow.storage.rebuild import entries_from_journals
from rayflow.storage.store import Store

logger = logging.getLogger("rayflow.engine")


@dataclass(frozen=True, slots=True)
class Partition:
    """The part of a root that the engine ``number`` of ``count`` owns."""

    number: int = 0
    count: int = 1

    def has(self, workflow_id: str) -> bool:
        """Whether a workflow belongs to it."""
        return engine_of(workflow_id, self.count) == self.number


def engine_of(workflow_id: str, count: int) -> int:
    """The number of the engine, of ``count``, that a workflow belongs to."""
    return int(shard(workflow_id), 16) % count if count > 1 else 0


def partitions(count: int) -> list[Partition]:
    """All parts of a root with ``count`` engines."""
    return [Partition(number, count) for number in range(count)]


def count_of(store: Store) -> int:
    """How many engines share the root.

    Raises:
        DataLoadError: the storage failed.
    """
    try:
        return int(json.loads(store.read(layout.ENGINES))["count"])
    except KeyError:
        return 1


def read_entries(store: Store) -> Iterator[tuple[Owner | None, list[IndexEntry]]]:
    """For each engine who owns its part, and the newest entries of the workflows there.

    Raises:
        JournalCorruptError: an index is damaged; it can be rebuilt from the journals.
    """
    for part in partitions(count_of(store)):
        index = Index(store, part.number)
        entries = index.read().values()
        yield index.owner(), [entry for entry in entries if part.has(entry.workflow_id)]


def owners(store: Store) -> list[Owner]:
    """Who owns the parts of the root, as far as the heartbeats tell."""
    found = (Index(store, number).owner() for number in range(count_of(store)))
    return [owner for owner in found if owner is not None]


def repartition(store: Store, count: int) -> None:
    """Have ``count`` engines share the root; none of those that share it may live.

    Raises:
        FencedError: somebody else does so in this moment.
        JournalCorruptError: a redo log is damaged.
        StorageError: the storage failed.
    """
    before = count_of(store)
    indexes = [Index(store, number) for number in range(max(before, count))]
    last = max(index.last_epoch() for index in indexes)
    # The first one last: what follows is written in its name.
    for number in reversed(range(before)):
        store.own(number)
        indexes[number].claim(last)
    entries = _all_entries(store)
    if before > 1:
        indexes[0].rewrite(entries, last)
        _write_count(store, 1)
    for part in partitions(count)[1:]:
        own = [entry for entry in entries if part.has(entry.workflow_id)]
        indexes[part.number].rewrite(own, last + 1)
    _write_count(store, count)


def _all_entries(store: Store) -> list[IndexEntry]:
    try:
        return [entry for _, entries in read_entries(store) for entry in entries]
    except JournalCorruptError as error:
        logger.warning("%s It is rebuilt from the journals.", error)
        return list(entries_from_journals(store).values())


def rewrite(store: Store, entries: dict[str, IndexEntry]) -> None:
    """Put ``entries`` in the place of all that the indexes have, on behalf of no engine.

    Raises:
        FencedError: an engine takes the root in this moment.
        StorageError: the storage failed.
    """
    for part in partitions(count_of(store)):
        own = [entry for entry in entries.values() if part.has(entry.workflow_id)]
        Index(store, part.number).rewrite(own)


def _write_count(store: Store, count: int) -> None:
    store.write(layout.ENGINES, [json.dumps({"count": count}).encode()])
