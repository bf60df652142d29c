"""``ray.workflow``, the library that Ray removed, on the last Ray that has it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray
from common import TOGETHER, Sizes, measured
from ray import workflow


@ray.remote
def nothing(number: int) -> int:
    return number


@ray.remote
def follow(before: int) -> int:
    return before + 1


@ray.remote
def gather(*values: int) -> int:
    return len(values)


def fan_out(size: int) -> None:
    workflow.run(gather.bind(*[nothing.bind(n) for n in range(size)]))


def chain(length: int) -> None:
    node: Any = nothing.bind(0)
    for _ in range(length - 1):
        node = follow.bind(node)
    workflow.run(node)


def workflows(number: int) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        ray.get(list(pool.map(lambda n: workflow.run_async(nothing.bind(n)), range(number))))


def main(sizes: Sizes, folder: str) -> dict[str, float]:
    ray.init(
        num_cpus=sizes.cpus,
        storage=f"file://{folder}",
        log_to_driver=False,
        include_dashboard=False,
        configure_logging=False,
    )
    workflow.init()
    fan_out(20)
    time.sleep(1)
    return sizes.measure(fan_out, chain, workflows)


measured(main)
