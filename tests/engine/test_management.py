"""Looking at workflows and ending them: status, lists, outputs, metadata, cancel, delete."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("engine")


@ray.remote
def one() -> int:
    return 1


@ray.remote
def wait_for(flag: str, started: str) -> str:
    Path(started).touch()
    while not Path(flag).exists():
        time.sleep(0.02)
    return "went on"


@pytest.fixture
def waiting(tmp_path: Path) -> Any:
    """Start workflows that run until they are let go."""
    flag = tmp_path / "flag"

    def start(workflow_id: str) -> Any:
        started = tmp_path / f"started-{workflow_id}"
        ref = workflow.run_async(wait_for.bind(str(flag), str(started)), workflow_id=workflow_id)
        until(started.exists)
        return ref

    yield start
    flag.touch()


def test_a_running_workflow_says_so_and_refuses_a_second_start(waiting: Any) -> None:
    waiting("busy")

    assert workflow.get_status("busy") == "RUNNING"
    assert ("busy", workflow.RUNNING) in workflow.list_all(workflow.RUNNING)
    with pytest.raises(RuntimeError, match="busy"):
        workflow.run_async(one.bind(), workflow_id="busy")
    with pytest.raises(RuntimeError, match="busy"):
        workflow.resume_async("busy")
    with pytest.raises(workflow.exceptions.WorkflowStillActiveError):
        workflow.delete("busy")


def test_cancel_stops_the_tasks_and_is_final(waiting: Any) -> None:
    ref = waiting("unwanted")
    workflow.cancel("unwanted")

    assert workflow.get_status("unwanted") == workflow.CANCELED
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(ref)
    with pytest.raises(workflow.exceptions.WorkflowNotResumableError):
        workflow.resume("unwanted")
    with pytest.raises(ValueError, match="cancelled"):
        workflow.get_output("unwanted")
    workflow.cancel("unwanted")


def test_cancel_leaves_a_finished_workflow_alone_and_refuses_an_unknown_one() -> None:
    workflow.run(one.bind(), workflow_id="finished")
    workflow.cancel("finished")

    assert workflow.get_status("finished") == workflow.SUCCESSFUL
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.cancel("never-was")
    assert "never-was" not in dict(workflow.list_all())


def test_delete_removes_everything_and_frees_the_id(engine: str) -> None:
    workflow.run(one.bind(), workflow_id="short-lived")
    workflow.delete("short-lived")

    assert not list(Path(engine).glob("workflows/*/short-lived"))
    assert "short-lived" not in dict(workflow.list_all())
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status("short-lived")
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.delete("short-lived")
    with pytest.raises(ValueError, match="short-lived"):
        workflow.get_output("short-lived")
    with pytest.raises(ValueError, match="No such workflow_id 'short-lived'"):
        workflow.get_metadata("short-lived")
    assert workflow.run(one.bind(), workflow_id="short-lived") == 1


def test_outputs_of_tasks_can_be_asked_for_before_they_exist(waiting: Any, tmp_path: Path) -> None:
    @ray.remote
    def after(value: str) -> str:
        return value.upper()

    flag, started = tmp_path / "go", tmp_path / "started"
    first = wait_for.options(**workflow.options(task_id="first")).bind(str(flag), str(started))
    dag = after.options(**workflow.options(task_id="second")).bind(first)
    workflow.run_async(dag, workflow_id="questions")
    second = workflow.get_output_async("questions", task_id="second")
    never = workflow.get_output_async("questions", task_id="never")
    until(started.exists)
    flag.touch()

    assert ray.get(second) == "WENT ON"
    assert workflow.get_output("questions", task_id="first") == "went on"
    with pytest.raises(ValueError, match="never"):
        ray.get(never)


def test_filters_of_list_all_are_checked() -> None:
    workflow.run(one.bind(), workflow_id="listed")

    assert ("listed", "SUCCESSFUL") in workflow.list_all({"SUCCESSFUL", workflow.RUNNING})
    assert workflow.list_all("SUCCESSFUL") == workflow.list_all(workflow.SUCCESSFUL)
    for bad in (["RUNNING"], ("RUNNING",), {1}, 5):
        with pytest.raises(TypeError):
            workflow.list_all(bad)  # type: ignore[arg-type]
    for unknown in ("SLEEPING", "NONE", {"RUNNING", "running"}):
        with pytest.raises(ValueError, match="no workflow status"):
            workflow.list_all(unknown)  # type: ignore[arg-type]


def test_metadata_of_workflow_and_task() -> None:
    begin = time.time()
    named = one.options(max_retries=2, **workflow.options(task_id="the_one", metadata={"k": 1}))
    workflow.run(named.bind(), workflow_id="described", metadata={"owner": "ana"})

    whole = workflow.get_metadata("described")
    assert whole["status"] == "SUCCESSFUL"
    assert whole["user_metadata"] == {"owner": "ana"}
    assert begin < whole["stats"]["start_time"] <= whole["stats"]["end_time"] < time.time()
    task = workflow.get_metadata("described", "the_one")
    assert task["task_id"] == "the_one"
    assert task["task_options"]["max_retries"] == 2
    assert task["user_metadata"] == {"k": 1}
    assert task["stats"]["start_time"] <= task["stats"]["end_time"]
    with pytest.raises(ValueError, match="No such task_id 'other' in workflow 'described'"):
        workflow.get_metadata("described", "other")


def test_asking_right_after_submission_never_races() -> None:
    for number in range(20):
        workflow.run_async(one.bind(), workflow_id=f"race-{number}")
        assert workflow.get_output(f"race-{number}") == 1
        assert workflow.get_status(f"race-{number}") == workflow.SUCCESSFUL
