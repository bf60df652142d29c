"""A storage that fails every tenth call: a clear error or success, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import api, workflow
from rayflow.storage.local import LocalStore
from rayflow.testing.flaky_store import FlakyStore, every
from tests.crash.ledger import assert_nothing_recorded_ran_again, note
from tests.engine.test_storages import engine_name

WORKFLOWS = 6
Errors = (workflow.exceptions.StorageError, workflow.WorkflowExecutionError)


def flaky_store(path: str) -> FlakyStore:
    """For ``custom://``: a folder whose every tenth operation fails, in each process by itself."""
    return FlakyStore(LocalStore(path), every(10))


@ray.remote
def part(ledger: str, name: str, size: int) -> bytes:
    note(ledger, name)
    return b"x" * size


@ray.remote
def total(ledger: str, *parts: bytes) -> int:
    note(ledger, "total")
    return sum(map(len, parts))


def insist(call: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until it is granted; whatever is refused must be refused for the storage."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return call()
        except Errors as error:
            if "failed on purpose" not in str(error) or time.monotonic() > deadline:
                raise


@pytest.fixture
def flaky_root(cluster: None, tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "root"
    storage = f"custom://{__name__}.flaky_store{root}"
    api.disconnect()
    insist(lambda: workflow.init(storage))
    yield root
    api.disconnect()
    ray.kill(ray.get_actor(engine_name(storage), namespace="rayflow"), no_restart=True)


def test_workflows_on_a_storage_that_fails_every_tenth_call_end_right(
    flaky_root: Path, tmp_path: Path
) -> None:
    for number in range(WORKFLOWS):
        ledger, workflow_id = tmp_path / f"ledger-{number}", f"flaky-{number}"
        large = part.options(**workflow.options(task_id="large")).bind(
            str(ledger), "large", 100_000
        )
        small = part.options(**workflow.options(task_id="small")).bind(str(ledger), "small", number)
        dag = total.options(**workflow.options(task_id="total")).bind(str(ledger), large, small)
        value = insist(lambda: workflow.run(dag, workflow_id=workflow_id))  # noqa: B023
        assert value == 100_000 + number
    statuses = dict(insist(workflow.list_all))
    assert statuses == {f"flaky-{n}": workflow.SUCCESSFUL for n in range(WORKFLOWS)}
    for number in range(WORKFLOWS):
        assert_nothing_recorded_ran_again(
            str(flaky_root), f"flaky-{number}", tmp_path / f"ledger-{number}"
        )
