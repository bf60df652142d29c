"""Whether everything that a storage root refers to is there and whole: what ``rayflow verify`` runs.

``python -m rayflow.verifying ROOT`` prints one JSON object a line: what is wrong, and a summary at the end.
Nothing is unpickled, and nothing is changed unless the index is to be made anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rayflow.core.graph import StoredValue
from rayflow.core.records import Kind, Record
from rayflow.core.state import fold
from rayflow.errors import JournalCorruptError, RootInUseError, StorageError, WorkflowError
from rayflow.storage import layout, partition, rebuild, redo
from rayflow.storage.address import name_of
from rayflow.storage.journal import Journal
from rayflow.storage.log import EpochLog
from rayflow.storage.root import open_store
from rayflow.storage.store import Store

_VALUES = ("args", "value", "state")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        workflow_id: whose it is; empty for the index and the redo logs.
        problem: ``journal``, ``value``, ``code``, ``not_indexed``, ``index`` or ``redo``.
        detail: a sentence.
    """

    workflow_id: str
    problem: str
    detail: str


def verify(store: Store, *, deep: bool = False) -> Iterator[Finding]:
    """Look at the redo logs and the index, and at every workflow's journal and what that refers to.

    Args:
        deep: read values and compare their checksums, instead of looking at their lengths.
    """
    yield from _of_redo_logs(store)
    try:
        parts = partition.read_entries(store)
        entries = {entry.workflow_id: entry for _, some in parts for entry in some}
    except JournalCorruptError as error:
        entries = {}
        yield Finding("", "index", f"{error} The next engine, or --rebuild-index, makes it anew.")
    found = set()
    for workflow_id in rebuild.workflow_ids(store):
        found.add(workflow_id)
        yield from _of_workflow(store, workflow_id, deep=deep)
        if entries and workflow_id not in entries and Journal(store, workflow_id).exists():
            what = "It has a journal and is not in the index, so nobody sees it: --rebuild-index."
            yield Finding(workflow_id, "not_indexed", what)
    for workflow_id in entries:
        if workflow_id not in found:
            yield Finding(workflow_id, "journal", "The index names it, and it has no journal.")


def rebuild_index(store: Store) -> int:
    """Make the index anew from the journals; returns how many workflows it has.

    Raises:
        RootInUseError: an engine uses the root.
        StorageError: the storage failed.
    """
    if any(owner.is_fresh for owner in partition.owners(store)):
        raise RootInUseError(
            f"An engine uses {store.uri}, and keeps the index itself. Stop its Ray cluster, then try again."
        )
    for number in reversed(range(partition.count_of(store))):
        store.own(number)
    entries = rebuild.entries_from_journals(store)
    partition.rewrite(store, entries)
    return len(entries)


def _of_redo_logs(store: Store) -> Iterator[Finding]:
    for number in range(partition.count_of(store)):
        log = EpochLog(store, layout.of_engine(layout.REDO, number), redo.SCHEMA)
        try:
            redo.read(log, log.epochs())
        except JournalCorruptError as error:
            yield Finding("", "redo", f"{error} No engine takes the root before that.")


def _of_workflow(store: Store, workflow_id: str, *, deep: bool) -> Iterator[Finding]:
    try:
        records = Journal(store, workflow_id).load()
        fold(records)
    except StorageError as error:
        yield Finding(workflow_id, "journal", str(error))
        return
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        yield Finding(workflow_id, "journal", f"It makes no sense: {type(error).__name__}: {error}")
        return
    code: set[str] = set()
    for record in records:
        for value in _values(record):
            if (wrong := _wrong(store, value, deep=deep)) is not None:
                of = f"{record.kind} of task '{record.task_id}' (record {record.seq})"
                yield Finding(workflow_id, "value", f"{of}: {wrong}")
        if record.kind == Kind.TASK and record.data.get("function"):
            code.add(record.data["function"])
    for digest in sorted(code):
        if store.size(layout.function(digest)) is None:
            yield Finding(workflow_id, "code", f"The code {digest} of its tasks is missing.")


def _values(record: Record) -> Iterator[StoredValue]:
    if record.kind not in (Kind.TASK, Kind.SUCCEEDED, Kind.CONTINUED, Kind.PROGRESS):
        return
    for name in _VALUES:
        described = record.data.get(name)
        if isinstance(described, dict) and described.get("key") is not None:
            yield StoredValue.from_record(described, None)


def _wrong(store: Store, value: StoredValue, *, deep: bool) -> str | None:
    assert value.key is not None
    size = store.size(value.key)
    if size is None:
        return f"the value '{value.key}' is missing."
    if size != value.size:
        return f"the value '{value.key}' has {size} bytes where {value.size} were written."
    if deep and zlib.crc32(store.view(value.key)) != value.crc:
        return f"the value '{value.key}' is damaged: its checksum differs."
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status: 0 if all is well, 1 if something is wrong, 2 for a bad root."""
    parser = argparse.ArgumentParser(prog="rayflow verify")
    parser.add_argument("root")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--rebuild-index", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        store = open_store(asked.root)
        summary: dict[str, Any] = {"root": name_of(asked.root), "problems": 0}
        if asked.rebuild_index:
            summary["indexed"] = rebuild_index(store)
        for finding in verify(store, deep=asked.deep):
            summary["problems"] += 1
            _say(asdict(finding))
    except (WorkflowError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _say(summary)
    return 1 if summary["problems"] else 0


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
