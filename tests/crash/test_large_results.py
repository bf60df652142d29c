"""Results that are larger than the storage or Ray's object store has room for."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rayflow import workflow
from tests.crash.clusters import OwnCluster
from tests.crash.disks import disk
from tests.crash.ledger import executions, note
from tests.waiting import PATIENCE

MIB = 2**20


@ray.remote
def one() -> int:
    return 1


@ray.remote
def noted(ledger: str) -> int:
    note(ledger, "noted")
    return 2


@ray.remote(max_retries=1)
def large(size: int, value: int) -> Any:
    return np.full(size, value, "u1")


@ray.remote
def total(array: Any) -> int:
    return int(array.sum(dtype="u8"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB, in memory."""
    with disk(tmp_path / "small", "32m") as folder:
        yield folder


def test_a_result_that_the_storage_has_no_room_for_harms_its_workflow_only(
    own_engine: Callable[..., str], small_disk: Path, tmp_path: Path
) -> None:
    own_engine("small/root")
    ledger = tmp_path / "ledger"
    size = 80 * MIB  # 2.5 times the storage, as 5 GiB are for one of 2 GiB
    dag = total.bind(large.bind(size, noted.bind(str(ledger))))
    with pytest.raises(workflow.WorkflowExecutionError, match=r"(?s)large.*No space left"):
        workflow.run(dag, workflow_id="too-large")

    assert workflow.get_status("too-large") == workflow.RESUMABLE
    assert workflow.run(one.bind()) == 1
    assert shutil.disk_usage(small_disk).used < MIB  # what did not fit has been removed

    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    assert workflow.resume("too-large") == 2 * size
    assert executions(ledger) == {"noted": 1}


def test_a_result_that_the_object_store_has_no_room_for_arrives_all_the_same(
    tmp_path: Path,
) -> None:
    root = str(tmp_path / "root")
    with (
        OwnCluster(object_store=80 * MIB) as cluster,
        cluster.program("tests.crash.large_program", root, str(200 * MIB)) as program,
    ):
        said = json.loads(program.communicate(timeout=PATIENCE)[0])
    assert said == {"total": 400 * MIB, "small": 1, "status": "SUCCESSFUL"}
