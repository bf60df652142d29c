"""Programs written for the old import lines."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "line",
    [
        "from ray import workflow",
        "import ray; workflow = ray.workflow",
        "import ray.workflow; workflow = ray.workflow",
        "import ray.workflow as workflow",
        "import importlib; workflow = importlib.import_module('ray.workflow')",
    ],
)
def test_the_old_import_lines_give_the_new_library(line: str) -> None:
    code = (
        f"import rayflow.compat.ray_workflow\n{line}\n"
        "import rayflow.errors, rayflow.workflow\n"
        "from ray.workflow.exceptions import WorkflowError\n"
        "assert workflow is rayflow.workflow\n"
        "assert workflow.exceptions.WorkflowError is WorkflowError\n"
        "assert WorkflowError is rayflow.errors.WorkflowError\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_compatibility_module_nothing_of_ray_changes() -> None:
    code = "import rayflow.workflow, sys; assert 'ray.workflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
