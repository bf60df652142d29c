"""A program of its own: a workflow on datasets whose cluster is killed, and continued in another one.

``python -m tests.engine.dataset_program begin|resume ROOT``; ``begin`` kills its cluster and itself when
the datasets are stored, ``resume`` prints the result as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import ray
import ray.data

from rayflow import workflow
from tests.cluster import local_ray
from tests.killing import kill_all


def numbers(*, materialized: bool) -> Any:
    """The even numbers from 0 to 18."""
    data = ray.data.range(10).map(lambda row: {"id": 2 * row["id"]})
    return data.materialize() if materialized else data


@workflow.options(task_id="made")
@ray.remote(num_cpus=0)
def make(materialized: bool) -> Any:
    return numbers(materialized=materialized)


@ray.remote(num_cpus=0)
def wait_for(path: str) -> None:
    deadline = time.monotonic() + 100
    while not Path(path).exists():
        assert time.monotonic() < deadline, "nobody opened the gate"
        time.sleep(0.05)


@ray.remote(num_cpus=0)
def totals(_: None, datasets: dict[str, Any], made: Any, lazy: Any) -> dict[str, Any]:
    datasets = {**datasets, "made": made, "made lazily": lazy}
    datasets["nested"] = ray.get(datasets["nested"])
    return {name: sum(row["id"] for row in data.take_all()) for name, data in datasets.items()}


def build(gate: Path) -> Any:
    made, lazy = make.bind(True), make.bind(False)
    given = {
        "argument": numbers(materialized=True),
        "lazy argument": numbers(materialized=False),
        "nested": made,
    }
    return totals.bind(wait_for.bind(str(gate)), given, made, lazy)


def main(phase: str, root: str) -> None:
    gate = Path(root) / "open"
    with local_ray(num_cpus=4):
        workflow.init(root)
        if phase == "resume":
            gate.touch()
            print(json.dumps(workflow.resume("data")), flush=True)
            return
        workflow.run_async(build(gate), workflow_id="data")
        for task_id in ("made", "made_1"):
            workflow.get_output("data", task_id=task_id)
        kill_all(psutil.Process().children(recursive=True))
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
