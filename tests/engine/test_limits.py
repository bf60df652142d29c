"""Concurrency control: how many workflows run, wait, or are refused."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from rayflow import workflow
from tests.engine.test_management import one, wait_for
from tests.waiting import until


def start(folder: Path, name: str) -> None:
    started = folder / f"started-{name}"
    flag = folder / "flag"
    workflow.run_async(wait_for.bind(str(flag), str(started)), workflow_id=name)


def test_workflows_beyond_the_limits_wait_and_are_then_refused(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    own_engine(max_running_workflows=2, max_pending_workflows=1)
    for name in ("a", "b", "c"):
        start(tmp_path, name)
    until(lambda: (tmp_path / "started-b").exists())

    assert workflow.get_status("c") == workflow.PENDING
    with pytest.raises(queue.Full, match="Workflow queue has been full"):
        start(tmp_path, "d")
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status("d")
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(workflow.get_output_async("c"), timeout=0.2)
    assert not (tmp_path / "started-c").exists()

    (tmp_path / "flag").touch()
    assert [workflow.get_output(name) for name in "abc"] == ["went on"] * 3
    start(tmp_path, "d")
    assert workflow.get_output("d") == "went on"


def test_a_pending_workflow_is_cancelled_at_once(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    own_engine(max_running_workflows=1)
    start(tmp_path, "runs")
    start(tmp_path, "waits")
    until(lambda: workflow.get_status("waits") == workflow.PENDING)

    workflow.cancel("waits")

    assert workflow.get_status("waits") == workflow.CANCELED
    assert workflow.get_status("runs") == workflow.RUNNING
    (tmp_path / "flag").touch()
    assert workflow.get_output("runs") == "went on"
    assert not (tmp_path / "started-waits").exists()


def test_no_pending_allowed_means_no_queue(own_engine: Callable[..., str], tmp_path: Path) -> None:
    own_engine(max_running_workflows=1, max_pending_workflows=0)
    start(tmp_path, "only")
    with pytest.raises(queue.Full):
        workflow.run(one.bind())
    (tmp_path / "flag").touch()
    assert workflow.get_output("only") == "went on"


def test_limits_in_use_cannot_change(own_engine: Callable[..., str]) -> None:
    own_engine(max_running_workflows=3)

    workflow.init(max_running_workflows=3)
    workflow.init()
    with pytest.raises(ValueError, match="max_running_workflows=3"):
        workflow.init(max_running_workflows=4)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_running_workflows": "2"}, TypeError),
        ({"max_running_workflows": 1.5}, TypeError),
        ({"max_running_workflows": True}, TypeError),
        ({"max_running_workflows": 0}, ValueError),
        ({"max_running_workflows": -2}, ValueError),
        ({"max_pending_workflows": -2}, ValueError),
    ],
)
def test_bad_limits_are_refused(options: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        workflow.init(**options)
    with pytest.raises(TypeError):
        workflow.init("root", 5)  # type: ignore[misc]
