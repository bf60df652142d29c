"""Damaged and missing files: a clear error for the workflow concerned, and nobody else notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rayflow import workflow
from rayflow.errors import DataLoadError, JournalCorruptError


@ray.remote
def one() -> int:
    return 1


@ray.remote
def needs(path: str, value: Any) -> int:
    if not Path(path).exists():
        raise FileNotFoundError(path)
    return int(np.sum(value))


@ray.remote
def large() -> Any:
    return np.ones(100_000)


def fail_once(workflow_id: str, flag: Path) -> None:
    """Run a workflow that fails and leaves a large checkpoint and a journal of some batches."""
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(needs.bind(str(flag), large.bind()), workflow_id=workflow_id)
    flag.touch()


def only(files: Any) -> Path:
    (found,) = files
    return Path(found)


def test_a_damaged_journal_is_never_loaded_and_harms_nobody_else(
    engine: str, tmp_path: Path
) -> None:
    fail_once("damaged-journal", tmp_path / "flag")
    journal = only(Path(engine).glob("workflows/*/damaged-journal/journal/*.arrows"))
    whole = journal.read_bytes()
    journal.write_bytes(whole[:900] + bytes(64) + whole[964:])

    for question in (
        lambda: workflow.resume("damaged-journal"),
        lambda: workflow.get_metadata("damaged-journal"),
    ):
        with pytest.raises(JournalCorruptError, match="damaged-journal"):
            question()
    assert workflow.get_status("damaged-journal") == workflow.FAILED
    assert workflow.run(one.bind()) == 1

    journal.write_bytes(whole)
    assert workflow.resume("damaged-journal") == 100_000


def test_a_damaged_value_is_never_decoded(engine: str, tmp_path: Path) -> None:
    fail_once("damaged-value", tmp_path / "flag")
    value = only(Path(engine).glob("workflows/*/damaged-value/values/*large*/*"))
    whole = value.read_bytes()
    value.write_bytes(b"X" + whole[1:])

    task_id = f"{__name__}.large"
    with pytest.raises(DataLoadError, match="is damaged"):
        workflow.get_output("damaged-value", task_id=task_id)
    with pytest.raises(workflow.WorkflowExecutionError, match="is damaged"):
        workflow.resume("damaged-value")
    assert workflow.get_status("damaged-value") == workflow.RESUMABLE

    value.write_bytes(whole)
    assert workflow.resume("damaged-value") == 100_000
