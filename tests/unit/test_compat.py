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


def run(code: str) -> None:
    """Run a program of its own; it ends well and complains of nothing."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_old_import_lines_give_the_new_library() -> None:
    checks = "".join(f"{line}\nassert workflow is rayflow.workflow\n" for line in OLD_LINES)
    code = (
        "import rayflow.compat.ray_workflow\nimport rayflow.workflow\n"
        f"{checks}"
        "from ray.workflow.exceptions import WorkflowError\n"
        "assert workflow.exceptions.WorkflowError is WorkflowError\n"
        "import ray.workflow.common\n"
        "from ray.workflow import common, run\n"
        "from ray.workflow.common import WorkflowStatus\n"
        "assert common is ray.workflow.common and WorkflowStatus is workflow.WorkflowStatus\n"
        "assert run is workflow.run\n"
        "from ray.workflow.event_listener import EventListener, TimerListener\n"
        "from ray.workflow.http_event_provider import HTTPListener, WorkflowEventHandleError\n"
        "assert issubclass(HTTPListener, EventListener) and TimerListener is workflow.TimerListener\n"
    )
    run(code)


def test_without_the_compatibility_module_nothing_of_ray_changes() -> None:
    code = "import rayflow.workflow, sys; assert 'ray.workflow' not in sys.modules"
    run(code)


def test_a_submodule_without_a_counterpart_is_not_there() -> None:
    code = (
        "import rayflow.compat.ray_workflow\n"
        "try:\n    import ray.workflow.task_executor\n"
        "except ModuleNotFoundError as error:\n    assert 'task_executor' in str(error)\n"
        "else:\n    raise AssertionError\n"
    )
    run(code)


def test_the_old_names_of_a_while_leave_nothing_behind() -> None:
    code = (
        "import sys\nfrom rayflow import workflow\nfrom rayflow.compat import names\n"
        "before = set(dir(workflow))\n"
        "with names.installed():\n"
        "    from ray import workflow as old\n    import ray.workflow.common\n"
        "    with names.installed():\n        pass\n"
        "    assert old is workflow and names.is_installed()\n"
        "assert set(dir(workflow)) == before\n"
        "assert not [name for name in sys.modules if name.startswith('ray.workflow')]\n"
    )
    run(code)
