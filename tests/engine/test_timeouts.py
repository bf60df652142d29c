"""Limits of time on a real Ray: of attempts, and of workflows, also across a dead engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.core.records import Kind
from rayflow.reader import open_root
from tests.crash.test_kills import engine_pid
from tests.engine.test_stopping import is_gone, processes, say
from tests.waiting import PATIENCE, until

HANGS = 600.0


@ray.remote
def slow_at_first(ledger: str, hangs: int) -> list[int]:
    """Hangs in its first attempts; refuses to start while a process of an older one is there."""
    older = processes(Path(ledger))
    assert all(is_gone(pid) for pid in older), "an older attempt is still there"
    say(ledger, "began")
    if len(older) < hangs:
        try:
            time.sleep(HANGS)
        except KeyboardInterrupt:
            time.sleep(HANGS)
    return [*older, os.getpid()]


@ray.remote
def sleeps(flag: str) -> str:
    while not Path(flag).exists():
        time.sleep(0.02)
    return "slept"


def causes(root: str, workflow_id: str) -> list[tuple[str, str]]:
    """Cause and error type of the failures in a journal."""
    records = open_root(root).records(workflow_id, None).records
    failed = [record for record in records if record.kind == Kind.FAILED]
    return [(record.data["cause"], record.data["error"]["type"]) for record in failed]


def test_a_timeout_is_retried_and_no_two_attempts_overlap(engine: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    short = slow_at_first.options(**workflow.options(timeout=1.0, grace=0.3, task_id="short"))
    pids = workflow.run(short.bind(str(ledger), 2), workflow_id="retried")

    assert len(set(pids)) == 3
    assert causes(engine, "retried") == [("timeout", "rayflow.errors.TaskTimeoutError")] * 2


def test_a_timeout_after_the_last_attempt_fails_the_workflow(engine: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    short = slow_at_first.options(max_retries=1, **workflow.options(timeout=0.3, grace=0.0))
    with pytest.raises(workflow.WorkflowExecutionError, match="TaskTimeoutError") as caught:
        workflow.run(short.bind(str(ledger), 9), workflow_id="too-slow")

    assert "its timeout of 0.3 s" in str(caught.value)
    assert len(causes(engine, "too-slow")) == 2
    assert workflow.get_status("too-slow") == workflow.FAILED


def test_a_timeout_is_caught_like_an_exception_of_the_task(engine: str, tmp_path: Path) -> None:
    chosen = workflow.options(
        timeout=0.3, grace=0.0, catch_exceptions=True, retry=workflow.Retry(never=TimeoutError)
    )
    ledger = tmp_path / "ledger"
    short = slow_at_first.options(**chosen)
    value, error = workflow.run(short.bind(str(ledger), 9), workflow_id="caught-timeout")

    assert value is None
    assert isinstance(error, workflow.exceptions.TaskTimeoutError)
    assert isinstance(error, TimeoutError)
    assert error.seconds == 0.3
    assert len(causes(engine, "caught-timeout")) == 1


def test_a_task_in_time_is_not_disturbed(engine: str, tmp_path: Path) -> None:
    calm = sleeps.options(**workflow.options(timeout=60, heartbeat_timeout=60))
    (tmp_path / "flag").touch()
    assert workflow.run(calm.bind(str(tmp_path / "flag")), workflow_id="in-time") == "slept"


def test_a_workflow_out_of_time_fails_and_can_be_resumed(engine: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    with pytest.raises(
        workflow.WorkflowExecutionError, match="workflow_timeout of 10 s"
    ) as caught:  # enough for the second run, whose worker has to start
        workflow.run(sleeps.bind(str(flag)), workflow_id="out-of-time", workflow_timeout=10)

    assert caught.value.error["type"] == "rayflow.errors.WorkflowTimeoutError"
    assert workflow.get_status("out-of-time") == workflow.FAILED
    flag.touch()
    assert workflow.resume("out-of-time") == "slept"


def test_the_time_of_a_workflow_goes_on_while_its_engine_is_dead(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root = own_engine(max_running_workflows=1)
    flag = tmp_path / "flag"
    begun = time.time()
    runs = workflow.run_async(sleeps.bind(str(flag)), workflow_id="runs", workflow_timeout=6)
    waits = workflow.run_async(sleeps.bind(str(flag)), workflow_id="waits", workflow_timeout=6)
    os.kill(engine_pid(root), signal.SIGKILL)

    for ref in (runs, waits):
        with pytest.raises(workflow.WorkflowExecutionError, match="workflow_timeout"):
            ray.get(ref, timeout=PATIENCE)
    until(lambda: workflow.get_status("waits") == workflow.FAILED)
    for workflow_id in ("runs", "waits"):
        records = open_root(root).records(workflow_id, None).records
        [timed_out] = [record for record in records if record.kind == Kind.TIMED_OUT]
        assert timed_out.time - begun >= 6


@pytest.mark.parametrize("bad", ["soon", True, 0, -1, float("inf"), float("nan")])
def test_a_time_that_makes_no_sense_is_refused(engine: str, bad: Any) -> None:
    kind = TypeError if isinstance(bad, str | bool) else ValueError
    for name in ("timeout", "heartbeat_timeout"):
        with pytest.raises(kind, match=name):
            workflow.options(**{name: bad})
    with pytest.raises(kind, match="workflow_timeout"):
        workflow.run(sleeps.bind("x"), workflow_timeout=bad)
    assert workflow.options(grace=0)
