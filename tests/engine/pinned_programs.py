"""Two programs with a cluster each, on one storage: the first starts workflows, the second resumes them.

``python -m tests.engine.pinned_programs first|second FOLDER``. The source tree of the first one's
tasks is ``FOLDER/tree``; it is gone when the second one runs.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from rayflow import workflow

SECRET = "not-to-be-shown"
TREE = {
    "errors_of_trip.py": "class TripError(Exception):\n    pass\n",
    "prices.py": "BASE = 40\n\nclass Price:\n    def __init__(self, amount):\n"
    "        self.amount = amount\n\ndef price(days):\n    return Price(BASE + days)\n",
    "trips.py": """
import pathlib, time
import ray
import prices
from errors_of_trip import TripError

@ray.remote
def quote(days):
    return prices.price(days)

@ray.remote
def refuse(quoted):
    raise TripError(quoted.amount)

@ray.remote
def wait_for(folder, name, *before):
    pathlib.Path(folder, f"{name}.started").touch()
    while not pathlib.Path(folder, f"{name}.go").exists():
        time.sleep(0.02)
    return before

@ray.remote
def summary(waited, quoted):
    import discount
    (value, error), = waited
    try:
        raise error
    except TripError as caught:
        own = isinstance(quoted, prices.Price)
        return quoted.amount - discount.OFF, caught.args, own

@ray.remote
def needs_installed(waited, thing):
    return thing.name
""",
    "discount.py": "OFF = 2\n",
    "site-packages/tool_of_first.py": "class Tool:\n    name = 'tool'\n",
    "one/where.py": "PLACE = 'first'\n",
    "one/data.txt": "data of the first",
    "two/where.py": "PLACE = 'second'\n",
    "two/data.txt": "data of the second",
    "extra_module/__init__.py": "ANSWER = 42\n",
}


@ray.remote
def surroundings(waited: Any) -> list[Any]:
    """What a task finds around it; the modules come with the environment only."""
    import os

    found = [
        importlib.import_module("where").PLACE,
        Path("data.txt").read_text(),
        os.environ.get("TOKEN_OF_TEST"),
    ]
    if os.environ.get("TOKEN_OF_TEST"):
        found.append(importlib.import_module("extra_module").ANSWER)
    return found


def start_with_code(folder: Path) -> None:
    sys.path[:0] = [str(folder / "tree"), str(folder / "tree/site-packages")]
    trips, tools = importlib.import_module("trips"), importlib.import_module("tool_of_first")
    quoted = trips.quote.bind(2)
    refused = trips.refuse.options(**workflow.options(catch_exceptions=True)).bind(quoted)
    waited = trips.wait_for.bind(str(folder), "code", refused)
    workflow.run_async(trips.summary.bind(waited, quoted), workflow_id="code")
    waited = trips.wait_for.bind(str(folder), "missing")
    workflow.run_async(trips.needs_installed.bind(waited, tools.Tool()), workflow_id="missing")


def start_with_environment(folder: Path, name: str) -> None:
    trips = importlib.import_module("trips")
    waited = trips.wait_for.bind(str(folder), name)
    workflow.run_async(surroundings.bind(waited), workflow_id=name)
    assert SECRET not in str(workflow.get_metadata(name))


def first(folder: Path, address: str) -> None:
    """Start everything and stop when the last tasks wait."""
    root, tree = str(folder / "root"), folder / "tree"
    environments: dict[str, Any] = {
        "one": {
            "working_dir": str(tree / "one"),
            "py_modules": [str(tree / "extra_module")],
            "env_vars": {"TOKEN_OF_TEST": SECRET},
        },
        "two": {"working_dir": str(tree / "two")},
    }
    for name, environment in environments.items():  # the first of them makes the engine
        ray.init(address, namespace="rayflow", log_to_driver=False, runtime_env=environment)
        workflow.init(root)
        sys.path.insert(0, str(tree))
        start_with_environment(folder, name)
        ray.shutdown()
    ray.init(address, namespace="rayflow", log_to_driver=False)
    workflow.init(root)
    start_with_code(folder)
    names = ("code", "missing", "one", "two")
    deadline = time.monotonic() + 120
    while not all((folder / f"{name}.started").exists() for name in names):
        assert time.monotonic() < deadline, list(folder.glob("*.started"))
        time.sleep(0.05)


def second(folder: Path, address: str) -> dict[str, Any]:
    """Resume everything; what each workflow gives."""
    ray.init(address, namespace="rayflow", log_to_driver=False)
    workflow.init(str(folder / "root"))
    answers: dict[str, Any] = {}
    refs = dict(workflow.resume_all())
    for name, ref in refs.items():
        try:
            answers[name] = ray.get(ref)
        except workflow.WorkflowExecutionError as error:
            answers[name] = str(error)
    answers["statuses"] = dict(workflow.list_all())
    return answers


def main(which: str, folder: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 8})
    try:
        answers = (first if which == "first" else second)(folder, cluster.address)
        print(json.dumps(answers), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
