"""RayFlow's engine beside plain Ray, on the same cluster and the same work."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from benchmarks import work
from benchmarks.kinds import TOGETHER, Figures, Kind, timed
from rayflow import api, workflow

ONE_BY_ONE = 100  # submissions that are looked at each by itself


@contextmanager
def cluster(folder: Path, cpus: int) -> Iterator[None]:
    """A Ray of our own, its processes warm, and an engine on the root below ``folder``."""
    ray.init(
        num_cpus=cpus, log_to_driver=False, include_dashboard=False, _temp_dir=str(folder / "ray")
    )
    try:
        with root(str(folder / "storage"), cpus):
            yield
    finally:
        ray.shutdown()


@contextmanager
def root(storage: str, cpus: int) -> Iterator[None]:
    """An engine on a storage root of its own, on the Ray that is there."""
    api.disconnect()  # from another one, perhaps
    workflow.init(storage=storage)
    try:
        ray.get([work.nothing.remote(n) for n in range(20 * cpus)])
        workflow.run(work.fan_out(20 * cpus), workflow_id="warm-up")
        yield
    finally:
        api.disconnect()


class Bench:
    """Measures one figure after the other; each name is used once for a workflow id."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_id(self) -> str:
        """An id that no workflow has."""
        return f"bench-{next(self._numbers)}"

    def fan_out(self, size: int) -> Figures:
        """``size`` tasks at once: plain Ray's rate, RayFlow's with a checkpoint of each, and their ratio."""
        raw = timed(lambda: ray.get([work.nothing.remote(n) for n in range(size)]))
        own = self.fan_out_alone(size)
        return {
            "raw_ray_tasks_per_s": size / raw,
            "fanout_tasks_per_s": size / own,
            "fanout_ratio": raw / own,
        }

    def fan_out_alone(self, size: int) -> float:
        """Seconds for ``size`` tasks at once."""
        return timed(lambda: workflow.run(work.fan_out(size), workflow_id=self.new_id()))

    def chain(self, length: int) -> Figures:
        """``length`` tasks one after the other: plain Ray waits for each, RayFlow checkpoints each."""

        def one_by_one() -> None:
            value = 0
            for _ in range(length):
                value = ray.get(work.follow.remote(value))

        raw = timed(one_by_one)
        own = self.chain_alone(length)
        return {
            "raw_ray_seq_ms": 1000 * raw / length,
            "chain_ms_per_task": 1000 * own / length,
            "chain_ratio": own / raw,
        }

    def chain_alone(self, length: int) -> float:
        """Seconds for a chain."""
        return timed(lambda: workflow.run(work.chain(length), workflow_id=self.new_id()))

    def workflows(self, number: int) -> Figures:
        """``number`` workflows of one task from some threads, and how long one submission takes by itself."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            took = timed(lambda: ray.get(list(pool.map(self._submit, range(number)))))
        spans = [timed(lambda: self._submit(0)) for _ in range(ONE_BY_ONE)]
        return {
            "workflows_per_s": number / took,
            "submit_ms_p50": 1000 * statistics.median(spans),
        }

    def workflow_runs(self, number: int) -> Figures:
        """The same, where each thread waits for the value of one before it starts the next."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            took = timed(lambda: list(pool.map(self._run, range(number))))
        return {"workflow_runs_per_s": number / took}

    def kind(self, kind: Kind, size: int) -> Figures:
        """One of the other kinds of work."""
        return kind.measure(self.new_id(), size)

    def _submit(self, number: int) -> Any:
        return workflow.run_async(work.nothing.bind(number), workflow_id=self.new_id())

    def _run(self, number: int) -> Any:
        return workflow.run(work.nothing.bind(number), workflow_id=self.new_id())


def until_quiet() -> None:
    """Let what the last measurement has left behind come to its end."""
    deadline = time.monotonic() + 30
    while workflow.list_all({workflow.RUNNING, workflow.PENDING}) and time.monotonic() < deadline:
        time.sleep(0.05)
