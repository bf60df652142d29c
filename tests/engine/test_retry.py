"""Waits between attempts, lists of exceptions: on a real Ray."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from rayflow import workflow
from rayflow.core.records import Kind, Record
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store
from tests.crash.test_kills import engine_pid
from tests.engine.test_failures import attempt
from tests.waiting import PATIENCE, until


class Busy(Exception):
    """Worth another attempt."""


@ray.remote
def busy(counter: str, succeed_at: int) -> float:
    if attempt(counter) < succeed_at:
        raise Busy
    return time.time()


@ray.remote
def refused(counter: str) -> None:
    attempt(counter)
    raise KeyError("not worth it")


def failures(root: str, workflow_id: str) -> list[Record]:
    records = Journal(open_store(root), workflow_id).load()
    return [record for record in records if record.kind == Kind.FAILED]


def test_exceptions_that_are_listed_are_tried_again_and_others_are_not(
    engine: str, tmp_path: Path
) -> None:
    listed = {"max_retries": 3, "retry_exceptions": [Busy]}
    assert workflow.run(busy.options(**listed).bind(str(tmp_path / "a"), 3)) > 0
    with pytest.raises(workflow.WorkflowExecutionError, match="not worth it"):
        workflow.run(refused.options(**listed).bind(str(tmp_path / "b")))
    assert (tmp_path / "b").read_text() == "1"


def test_a_retry_waits_as_it_says(engine: str, tmp_path: Path) -> None:
    retry = workflow.Retry(max_attempts=3, initial=0.5, factor=1.0, on=Busy)
    task = busy.options(**workflow.options(retry=retry)).bind(str(tmp_path / "a"), 3)
    ended = workflow.run(task, workflow_id="waits")
    first, second = failures(engine, "waits")
    assert second.time >= first.data["retry_at"] > first.time
    assert ended >= second.data["retry_at"]


def test_a_wait_survives_the_death_of_the_engine(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    # Given a task that failed and waits for longer than an engine takes to come back
    root, counter = own_engine(), tmp_path / "counter"
    retry = workflow.Retry(max_attempts=2, initial=8.0, jitter=0.0)
    task = busy.options(**workflow.options(retry=retry)).bind(str(counter), 2)
    ref = workflow.run_async(task, workflow_id="patient")
    until(lambda: bool(failures(root, "patient")))
    [failure] = failures(root, "patient")
    # When the engine dies
    dead = engine_pid(root)
    os.kill(dead, signal.SIGKILL)
    until(lambda: engine_pid(root) != dead)
    assert counter.read_text() == "1"
    # Then the next attempt comes at its time
    due = failure.data["retry_at"]
    assert due <= ray.get(ref, timeout=PATIENCE) < due + 8
