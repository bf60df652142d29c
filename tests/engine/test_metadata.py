"""get_metadata on a real Ray (``ray-workflows`` 3.1)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("engine")


def named(name: str, **extra: Any) -> dict[str, Any]:
    return dict(workflow.options(task_id=name, **extra))


@ray.remote
def inner(text: str) -> str:
    return text


@ray.remote
def outer(text: str) -> Any:
    return workflow.continuation(inner.options(**named("inner", metadata={"k": 2})).bind(text))


@ray.remote
def needs(flag: str) -> str:
    if not Path(flag).exists():
        raise FileNotFoundError(flag)
    return "there"


@ray.remote
def waits(started: str, flag: str) -> str:
    Path(started).touch()
    until(Path(flag).exists)
    return "done"


def test_tasks_of_a_continuation_are_described_and_begin_after_their_parent_ended() -> None:
    dag = outer.options(**named("outer", metadata={"k": 1})).bind("x")
    workflow.run(dag, workflow_id="told-nested")
    whole = workflow.get_metadata("told-nested")["stats"]
    parent = workflow.get_metadata("told-nested", "outer")
    child = workflow.get_metadata("told-nested", "inner")
    assert (parent["user_metadata"], child["user_metadata"]) == ({"k": 1}, {"k": 2})
    assert child["stats"]["start_time"] >= parent["stats"]["end_time"]
    nested = sum(t["stats"]["end_time"] - t["stats"]["start_time"] for t in (parent, child))
    assert whole["end_time"] - whole["start_time"] >= nested


def test_a_failed_attempt_is_told_and_resuming_increases_both_times(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    dag = needs.options(max_retries=0, **named("needs")).bind(str(flag))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="told-failed")
    before = workflow.get_metadata("told-failed")
    assert before["status"] == "FAILED"
    (failed,) = workflow.get_metadata("told-failed", "needs")["attempts"]
    assert (failed["status"], failed["error"]["type"]) == ("FAILED", "FileNotFoundError")
    assert failed["node"]
    assert failed["pid"] > 0
    flag.touch()
    workflow.resume("told-failed")
    after = workflow.get_metadata("told-failed")
    assert after["stats"]["start_time"] > before["stats"]["start_time"]
    assert after["stats"]["end_time"] > before["stats"]["end_time"]
    told = workflow.get_metadata("told-failed", "needs")
    assert [attempt["status"] for attempt in told["attempts"]] == ["FAILED", "SUCCESSFUL"]


def test_a_running_task_is_told_at_once_and_a_cancelled_workflow_has_no_end(tmp_path: Path) -> None:
    started, flag = tmp_path / "started", tmp_path / "flag"
    dag = inner.bind(waits.options(**named("waits")).bind(str(started), str(flag)))
    begin = time.time()
    workflow.run_async(dag, workflow_id="told-running")
    until(lambda: bool(workflow.get_metadata("told-running", "waits")["attempts"]))
    running = workflow.get_metadata("told-running", "waits")
    assert begin <= running["stats"]["start_time"] <= time.time()
    assert running["attempts"][0]["end_time"] is None
    assert workflow.get_metadata("told-running")["status"] == workflow.get_status("told-running")
    workflow.cancel("told-running")
    stopped = workflow.get_metadata("told-running")
    assert stopped["status"] == "CANCELED"
    assert set(stopped["stats"]) == {"start_time"}
    assert workflow.get_metadata("told-running", "waits")["attempts"][0]["status"] == "CANCELED"
