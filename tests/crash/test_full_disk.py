"""A storage without room: submissions are refused, running workflows wait, and nothing is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from rayflow import workflow
from rayflow.errors import DataSaveError
from tests.crash.disks import disk
from tests.waiting import PATIENCE, until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, in memory."""
    with disk(tmp_path / "small", "2m") as folder:
        yield folder


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


@ray.remote
def wait_for(flag: str, started: str) -> int:
    Path(started).touch()
    while not Path(flag).exists():
        time.sleep(0.02)
    return 1


@ray.remote
def increment(value: int) -> int:
    return value + 1


def test_a_full_disk_delays_commits_and_refuses_submissions(
    own_engine: Callable[..., str], small_disk: Path, tmp_path: Path
) -> None:
    own_engine("small/root")
    flag, started = tmp_path / "flag", tmp_path / "started"
    dag = increment.bind(wait_for.bind(str(flag), str(started)))
    ref = workflow.run_async(dag, workflow_id="patient")
    until(started.exists)
    filler = fill(small_disk)

    with pytest.raises(DataSaveError, match="No space left"):
        workflow.run(increment.bind(1), workflow_id="refused")
    flag.touch()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(ref, timeout=1)
    assert workflow.get_status("patient") == workflow.RUNNING

    filler.unlink()
    assert ray.get(ref, timeout=PATIENCE) == 2
    assert workflow.run(increment.bind(1), workflow_id="refused") == 2
