"""Suspending and resuming on a real Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rayflow import workflow
from tests.engine.test_failures import attempt
from tests.waiting import until


@ray.remote
def first(counter: str) -> int:
    return attempt(counter)


@ray.remote
def wait_for(flag: str, pid: str, value: int) -> int:
    Path(pid + ".part").write_text(str(os.getpid()))
    Path(pid + ".part").rename(pid)
    while not Path(flag).exists():
        time.sleep(0.02)
    return value + 10


def start(folder: Path, name: str) -> Any:
    counter, flag, pid = (str(folder / f"{name}-{what}") for what in ("counter", "flag", "pid"))
    dag = wait_for.bind(flag, pid, first.bind(counter))
    return workflow.run_async(dag, workflow_id=name)


def test_a_suspended_workflow_stops_and_goes_on_where_it_was(engine: str, tmp_path: Path) -> None:
    ref = start(tmp_path, "paused")
    until((tmp_path / "paused-pid").exists)
    running = int((tmp_path / "paused-pid").read_text())

    workflow.suspend("paused")

    assert workflow.get_status("paused") == workflow.RESUMABLE
    until(lambda: not psutil.pid_exists(running))
    with pytest.raises(workflow.WorkflowExecutionError, match="suspended"):
        ray.get(ref)
    workflow.suspend("paused")
    (tmp_path / "paused-flag").touch()
    assert workflow.resume("paused") == 11
    assert (tmp_path / "paused-counter").read_text() == "1"
    workflow.suspend("paused")
    assert workflow.get_status("paused") == workflow.SUCCESSFUL


def test_an_unknown_workflow_cannot_be_suspended(engine: str) -> None:
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.suspend("nobody-knows-it")


def test_a_pending_workflow_that_is_suspended_leaves_the_queue(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    own_engine(max_running_workflows=1, max_pending_workflows=1)
    start(tmp_path, "runs")
    start(tmp_path, "waits")
    workflow.suspend("waits")

    assert workflow.get_status("waits") == workflow.RESUMABLE
    start(tmp_path, "next-in-line")
    (tmp_path / "runs-flag").touch()
    assert workflow.get_output("runs") == 11
    workflow.suspend("next-in-line")
    assert not (tmp_path / "waits-counter").exists()
    (tmp_path / "waits-flag").touch()
    assert workflow.resume("waits") == 11
