"""A program of its own: one workflow on a storage, on a cluster of one or two nodes.

``python -m tests.engine.storage_program STORAGE [FOLDER_OF_THE_SECOND_NODE]`` prints the result, or the
error, as one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from rayflow import workflow
from rayflow.storage.local import LocalStore
from rayflow.storage.store import Store


def store_of_node(path: str) -> Store:
    """A factory as for a path that is not shared: each node has a folder of its own below it."""
    return LocalStore(str(Path(path) / os.environ.get("FOLDER_OF_NODE", "head")))


@ray.remote
def double(number: int) -> int:
    return 2 * number


def main(storage: str, folder: str | None = None) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        if folder is not None:
            cluster.add_node(num_cpus=1, env_vars={"FOLDER_OF_NODE": folder})
        ray.init(address=cluster.address, namespace="rayflow", log_to_driver=False)
        try:
            workflow.init(storage)
            answer = {"result": workflow.run(double.bind(21), workflow_id="program")}
        except workflow.exceptions.WorkflowError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
