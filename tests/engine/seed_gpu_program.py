"""``python -m tests.engine.seed_gpu_program ADDRESS ROOT``: the page's tasks with GPUs; Ray counts them.

Prints what each task was given.
"""

# mypy: ignore-errors

from __future__ import annotations

import sys

import ray

from rayflow import workflow


@workflow.options(checkpoint=True)
@ray.remote(num_cpus=2, num_gpus=3, max_retries=5)
def read_data(num: int):
    return f"{list(range(num))} {ray.get_runtime_context().get_assigned_resources()['GPU']}"


@ray.remote
def train_model():
    return ray.get_runtime_context().get_assigned_resources()["GPU"]


def main(address: str, root: str) -> None:
    ray.init(address=address, namespace="rayflow", log_to_driver=False)
    workflow.init(root)
    read_data_with_options = read_data.options(
        num_cpus=1, num_gpus=1, **workflow.options(checkpoint=True)
    )
    print(workflow.run(read_data.bind(3)), flush=True)
    print(workflow.run(read_data_with_options.bind(3)), flush=True)
    print(workflow.run(train_model.options(num_gpus=1).bind()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
