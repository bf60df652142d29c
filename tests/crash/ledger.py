"""An outside ledger of side effects: every execution of a task body writes a line."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from rayflow.core.records import Kind
from rayflow.reader import open_root


def note(ledger: str, task: str) -> None:
    """Called by task bodies: a line with time and process, written in one piece."""
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{task} {time.time()} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def executions(ledger: Path) -> Counter[str]:
    """How often each task body was executed."""
    return Counter(line.split()[0] for line in ledger.read_text().splitlines())


def process_of(ledger: Path, task: str) -> int:
    """The process in which ``task`` was executed last."""
    lines = [line.split() for line in ledger.read_text().splitlines()]
    return int([words[2] for words in lines if words[0] == task][-1])


def assert_nothing_recorded_ran_again(root: str, workflow_id: str, ledger: Path) -> None:
    """No body began after its task's outcome had been recorded, and each outcome is recorded once.

    Task ids are the words in the ledger.
    """
    records = open_root(root).records(workflow_id, None, limit=10**9).records
    outcomes = [r for r in records if r.kind in (Kind.SUCCEEDED, Kind.CONTINUED)]
    assert Counter(r.task_id for r in outcomes).most_common(1)[0][1] == 1
    recorded = {record.task_id: record.time for record in outcomes}
    for line in ledger.read_text().splitlines():
        task, began, _ = line.split()
        assert float(began) < recorded[task], f"{task} ran again after its checkpoint"
