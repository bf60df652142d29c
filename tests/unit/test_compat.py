"""Programs written for the old import lines."""

from __future__ import annotations

import subprocess
import sys

OLD_LINES = [
    "from ray import workflow",
    "import ray; workflow = ray.workflow",
    "import ray.workflow; workflow = ray.workflow",
    "import ray.workflow as workflow",
    "import importlib; workflow = importlib.import_module('ray.workflow')",
]


def test_the_old_import_lines_give_the_new_library() -> None:
    checks = "".join(f"{line}\nassert workflow is rayflow.workflow\n" for line in OLD_LINES)
    code = (
        "import rayflow.compat.ray_workflow\nimport rayflow.workflow\n"
        f"{checks}"
        "from ray.workflow.exceptions import WorkflowError\n"
        "assert workflow.exceptions.WorkflowError is WorkflowError\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_compatibility_module_nothing_of_ray_changes() -> None:
    code = "import rayflow.workflow, sys; assert 'ray.workflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
