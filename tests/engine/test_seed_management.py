"""The examples of the old library's "Workflow Management" page, as written there but for two lines:
``from ray import workflow`` is ``from rayflow import workflow``, and the storage that was an option of
``ray.init`` is one of ``workflow.init``.

The page's sentences are tests too. What needs a cluster that dies uses clusters of its own.
"""

# The listings keep the style they were written in.
# mypy: ignore-errors

from __future__ import annotations

import json
import queue
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

from rayflow import workflow
from tests.crash.clusters import OwnCluster
from tests.waiting import PATIENCE, until


@ray.remote
def gate(flag: str, started: str) -> int:
    Path(started).touch()
    while not Path(flag).exists():
        time.sleep(0.02)
    return 3


@ray.remote
def fragile(cure: str) -> str:
    if not Path(cure).exists():
        raise RuntimeError("not yet")
    return "well"


def test_single_workflow_management(engine: str, capsys: pytest.CaptureFixture[str]) -> None:
    @ray.remote
    def task():
        return 3

    workflow.run(task.bind(), workflow_id="workflow_id")

    # Get the status of a workflow.
    try:
        status = workflow.get_status(workflow_id="workflow_id")
        assert status in {"RUNNING", "RESUMABLE", "FAILED", "CANCELED", "SUCCESSFUL"}
    except workflow.exceptions.WorkflowNotFoundError:
        print("Workflow doesn't exist.")

    # Resume a workflow.
    print(workflow.resume(workflow_id="workflow_id"))
    # return is an ObjectRef which is the result of this workflow

    # Cancel a workflow.
    workflow.cancel(workflow_id="workflow_id")

    # Delete the workflow.
    workflow.delete(workflow_id="workflow_id")

    assert capsys.readouterr().out == "3\n"
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status(workflow_id="workflow_id")


def test_bulk_workflow_management(own_engine, tmp_path: Path) -> None:
    own_engine()
    flag, cure, started = tmp_path / "flag", tmp_path / "cure", tmp_path / "started"
    running = workflow.run_async(gate.bind(str(flag), str(started)), workflow_id="workflow_id_1")
    unwanted = gate.bind(str(flag), str(tmp_path / "other"))
    workflow.run_async(unwanted, workflow_id="workflow_id_2")
    workflow.cancel("workflow_id_2")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fragile.bind(str(cure)), workflow_id="workflow_id_3")

    # List all running workflows.
    assert workflow.list_all("RUNNING") == [("workflow_id_1", "RUNNING")]
    # List RUNNING and CANCELED workflows.
    assert sorted(workflow.list_all({"RUNNING", "CANCELED"})) == [
        ("workflow_id_1", "RUNNING"),
        ("workflow_id_2", "CANCELED"),
    ]
    # List all workflows.
    assert sorted(workflow.list_all()) == [
        ("workflow_id_1", "RUNNING"),
        ("workflow_id_2", "CANCELED"),
        ("workflow_id_3", "FAILED"),
    ]
    # Resume all resumable workflows. This won't include failed workflow
    assert workflow.resume_all() == []
    # To resume workflows including failed ones, use `include_failed=True`
    cure.touch()
    [(resumed, result)] = workflow.resume_all(include_failed=True)
    assert (resumed, ray.get(result)) == ("workflow_id_3", "well")
    flag.touch()
    assert ray.get(running) == 3


def test_an_id_is_random_or_chosen_and_a_known_one_is_resumed(engine: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"

    @ray.remote
    def counted():
        with counter.open("a") as file:
            file.write("x")
        return 3

    before = set(dict(workflow.list_all()))
    workflow.run(counted.bind())
    (random_id,) = set(dict(workflow.list_all())) - before
    assert workflow.get_output(random_id) == 3
    assert workflow.run(counted.bind(), workflow_id="id") == 3
    assert workflow.run(counted.bind(), workflow_id="id") == 3
    assert counter.read_text() == "xx"


def test_concurrency_control(own_engine, tmp_path: Path) -> None:
    root = own_engine(max_running_workflows=10, max_pending_workflows=50)
    workflow.init(max_running_workflows=None, max_pending_workflows=None)
    with pytest.raises(ValueError, match="max_running_workflows=10"):
        workflow.init(max_running_workflows=11, max_pending_workflows=50)
    # And calling with different values on another driver will raise an exception.
    other = (
        "import ray, sys; from rayflow import workflow\n"
        "ray.init(address=sys.argv[1], namespace='rayflow', log_to_driver=False)\n"
        "try: workflow.init(sys.argv[2], max_running_workflows=2, max_pending_workflows=50)\n"
        "except ValueError as error: print(error)\n"
    )
    address = ray.get_runtime_context().gcs_address
    said = subprocess.run(
        [sys.executable, "-c", other, address, root], capture_output=True, text=True, check=True
    )
    assert "max_running_workflows=10" in said.stdout

    flag = tmp_path / "flag"
    dag = gate.bind(str(flag), str(tmp_path / "started"))
    refs = [workflow.run_async(dag, workflow_id=f"number-{n}") for n in range(60)]
    assert workflow.get_status("number-9") == "RUNNING"
    assert workflow.get_status("number-10") == "PENDING"
    assert len(workflow.list_all("PENDING")) == 50
    with pytest.raises(queue.Full, match="Workflow queue has been full"):
        workflow.run(dag, workflow_id="number-60")
    # Getting the output of a pending workflow would be blocked until it finishes running later.
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(workflow.get_output_async("number-59"), timeout=0.2)
    flag.touch()
    assert ray.get(refs) == [3] * 60


def test_a_launch_by_another_program_stands_in_for_a_scheduler(engine: str) -> None:
    """ "Recurring workflows": any program that reaches the cluster can trigger a run."""
    program = (
        "import ray, sys; from rayflow import workflow\n"
        "ray.init(address=sys.argv[1], namespace='rayflow', log_to_driver=False)\n"
        "workflow.init(sys.argv[2])\n"
        "print(workflow.run(ray.remote(lambda: 3).bind(), workflow_id=sys.argv[3]))\n"
    )
    address = ray.get_runtime_context().gcs_address
    for moment in ("monday", "tuesday"):
        command = [sys.executable, "-c", program, address, engine, f"recurring-{moment}"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"
    assert workflow.get_output("recurring-tuesday") == 3


def test_after_a_failure_of_the_cluster_running_workflows_come_before_pending_ones(
    tmp_path: Path,
) -> None:
    root, flag = str(tmp_path / "root"), tmp_path / "flag"
    with OwnCluster() as cluster:
        program = cluster.program("tests.engine.seed_program", "start", root, str(flag))
        with program:
            assert json.loads(program.stdout.readline()) == {"RUNNING": 2, "PENDING": 3}
            until((tmp_path / "flag-started").exists)
            cluster.kill()
    flag.touch()
    with (
        OwnCluster() as cluster,
        cluster.program("tests.engine.seed_program", "resume", root, str(flag)) as program,
    ):
        found = json.loads(program.communicate(timeout=PATIENCE)[0])
    assert found["before"] == ["RESUMABLE"] * 5
    assert found["resumed"] == [f"w{n}" for n in range(5)]
    assert found["values"] == [3] * 5
