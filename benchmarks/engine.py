"""RayFlow's engine beside plain Ray, on the same cluster and the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray

from benchmarks import work
from rayflow import api, workflow

Figures = dict[str, float]


@contextmanager
def cluster(folder: Path, cpus: int) -> Iterator[None]:
    """A Ray of our own, its processes warm, and an engine on an empty storage root."""
    ray.init(
        num_cpus=cpus, log_to_driver=False, include_dashboard=False, _temp_dir=str(folder / "ray")
    )
    try:
        workflow.init(storage=str(folder / "storage"))
        ray.get([work.nothing.remote(n) for n in range(20 * cpus)])
        workflow.run(work.fan_out(20 * cpus), workflow_id="warm-up")
        yield
    finally:
        api.disconnect()
        ray.shutdown()


class Bench:
    """Measures one figure after the other; each name is used once for a workflow id."""

    def __init__(self) -> None:
        self._runs = 0

    def _id(self) -> str:
        self._runs += 1
        return f"bench-{self._runs}"

    def _timed(self, act: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        act()
        return time.perf_counter() - begun

    def fan_out(self, size: int) -> Figures:
        """``size`` tasks at once: plain Ray's rate, RayFlow's with a checkpoint of each, and their ratio."""
        raw = self._timed(lambda: ray.get([work.nothing.remote(n) for n in range(size)]))
        own = self._timed(lambda: workflow.run(work.fan_out(size), workflow_id=self._id()))
        return {
            "raw_ray_tasks_per_s": size / raw,
            "fanout_tasks_per_s": size / own,
            "fanout_ratio": raw / own,
        }

    def chain(self, length: int) -> Figures:
        """``length`` tasks one after the other: plain Ray waits for each, RayFlow checkpoints each."""

        def one_by_one() -> None:
            value = 0
            for _ in range(length):
                value = ray.get(work.follow.remote(value))

        raw = self._timed(one_by_one)
        own = self._timed(lambda: workflow.run(work.chain(length), workflow_id=self._id()))
        return {
            "raw_ray_seq_ms": 1000 * raw / length,
            "chain_ms_per_task": 1000 * own / length,
            "chain_ratio": own / raw,
        }

    def workflows(self, number: int) -> Figures:
        """``number`` workflows of one task: how many a second, and how long each submission takes."""
        spans = []

        def submit(index: int) -> Any:
            begun = time.perf_counter()
            promise = workflow.run_async(work.nothing.bind(index), workflow_id=self._id())
            spans.append(time.perf_counter() - begun)
            return promise

        took = self._timed(lambda: ray.get([submit(index) for index in range(number)]))
        return {
            "workflows_per_s": number / took,
            "submit_ms_p50": 1000 * statistics.median(spans),
        }

    def resume(self, size: int) -> Figures:
        """Submitting and finishing ``size`` tasks, then reading all of it back as after a crash."""
        workflow_id = self._id()
        workflow.run(work.fan_out(size), workflow_id=workflow_id)
        memory = engine_memory()
        took = self._timed(lambda: workflow.resume(workflow_id))
        return {"resume_100k_s": took, "engine_rss_mb_100k": memory}


def engine_memory() -> float:
    """Mebibytes that the process of the engine holds."""
    found = [
        process.memory_info().rss
        for process in psutil.process_iter(["cmdline"])
        if any(
            "EngineActor" in part or "ray::Engine" in part for part in process.info["cmdline"] or ()
        )
    ]
    return max(found, default=0) / 2**20
