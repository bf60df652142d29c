"""A program written for ``ray.workflow``, as it was but for one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cluster import CHECKOUT

PROGRAM = """
import rayflow.compat.ray_workflow
import json, sys
import ray
from ray import workflow
from ray.workflow.common import WorkflowStatus
from ray.workflow.exceptions import WorkflowExecutionError

ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
workflow.init(sys.argv[1])

@workflow.options(task_id="double_it")
@ray.remote
def double(x):
    return 2 * x

@ray.remote
def fib(n):
    from ray import workflow
    import ray.workflow as again
    from ray.workflow.exceptions import WorkflowError
    assert again is workflow and issubclass(WorkflowError, Exception)
    if n < 2:
        return n
    return workflow.continuation(add.bind(fib.bind(n - 1), fib.bind(n - 2)))

@ray.remote
def add(a, b):
    return a + b

@ray.remote
def by_attribute():
    return str(ray.workflow.WorkflowStatus.RUNNING)

@ray.remote(max_retries=0)
def fails():
    raise ValueError("no")

def have_old_names():
    import sys
    return "ray.workflow" in sys.modules

answers = [
    workflow.run(double.bind(fib.bind(5)), workflow_id="old"),
    workflow.get_output("old", task_id="double_it"),
    workflow.get_status("old") == WorkflowStatus.SUCCESSFUL,
    workflow.run(by_attribute.bind()),
]
try:
    workflow.run(fails.bind())
except WorkflowExecutionError as error:
    answers.append(type(error).__name__)

from rayflow.compat import names
names.uninstall()
from rayflow import workflow as new
answers.append(new.run(ray.remote(have_old_names).bind()))
print(json.dumps(answers))
"""


def test_an_old_program_runs_in_the_driver_and_in_its_tasks(tmp_path: Path) -> None:
    program = tmp_path / "old_program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "root")],
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers[:4] == [10, 10, True, "RUNNING"]
    assert "WorkflowExecutionError" in answers[4]
    assert answers[5] is False, "a program without the old names must not have them in its tasks"
