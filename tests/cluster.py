"""Ray for tests: heads of our own, started and stopped exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

CHECKOUT = str(Path(__file__).parents[1])


@contextmanager
def local_ray(*, num_cpus: int) -> Iterator[None]:
    """A new local Ray head, gone at the end. Its workers import the code under test.

    Within another one, that one: a process can be in one cluster only.
    """
    if ray.is_initialized():
        yield
        return
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([CHECKOUT, *filter(None, paths)])
    ray.init(
        address="local",
        num_cpus=num_cpus,
        include_dashboard=False,
        object_store_memory=400 * 2**20,
        log_to_driver=False,
        namespace="rayflow",
    )
    try:
        yield
    finally:
        ray.shutdown()
