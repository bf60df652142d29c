"""Other kinds of work than the three that all peers do, beside plain Ray where it can do them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy
import ray

from benchmarks import work
from benchmarks.usage import watched
from rayflow import workflow

Figures = dict[str, float]
TOGETHER = 16  # threads that submit


@dataclass(frozen=True)
class Kind:
    """A kind of work: ``size`` of its ``unit``; ``own`` takes a workflow's id and the size, ``plain`` the size."""

    name: str
    title: str
    size: int
    own: Callable[[str, int], Any]
    plain: Callable[[int], Any] | None = None

    def measure(self, workflow_id: str, size: int) -> Figures:
        """Seconds of both, and what RayFlow's processes took meanwhile."""
        figures: Figures = {}
        if self.plain is not None:
            figures[f"{self.name}_plain_s"] = timed(lambda: self.plain and self.plain(size))
        with watched() as usage:
            figures[f"{self.name}_s"] = timed(lambda: self.own(workflow_id, size))
        return figures | usage.figures(self.name)


def timed(act: Callable[[], Any]) -> float:
    """Seconds that ``act`` takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _run(build: Callable[[int], Any]) -> Callable[[str, int], Any]:
    return lambda workflow_id, size: workflow.run(build(size), workflow_id=workflow_id)


def _get(build: Callable[..., Any]) -> Callable[[int], Any]:
    return lambda size: ray.get(build(size, "remote"))


def _many(workflow_id: str, number: int) -> None:
    """Workflows of ten tasks, all at once."""

    def submit(n: int) -> Any:
        return workflow.run_async(work.fan_out(9), workflow_id=f"{workflow_id}-{n}")

    with ThreadPoolExecutor(TOGETHER) as pool:
        ray.get(list(pool.map(submit, range(number))))


def _many_plain(number: int) -> None:
    ray.get(
        [work.gather.remote(*[work.nothing.remote(n) for n in range(9)]) for _ in range(number)]
    )


def _calls(workflow_id: str, number: int) -> None:
    """Calls of one virtual actor, as many as may wait beside each other."""
    actor: Any = work.Counter.get_or_create(workflow_id)
    assert ray.get([actor.incr.run_async() for _ in range(number)])[-1] == number


def _calls_plain(number: int) -> None:
    actor: Any = work.PlainCounter.remote()
    ray.get([actor.incr.remote() for _ in range(number)])
    ray.kill(actor)


def _large_plain(mebibytes: int) -> None:
    """Through Ray, and once to the disk: nobody stores it for less."""
    import os
    import tempfile

    ray.get(work.large(mebibytes, "remote"))
    values = numpy.zeros(mebibytes * work.MEBIBYTE // 8)
    with tempfile.NamedTemporaryFile() as file:
        file.write(memoryview(values).cast("B"))
        file.flush()
        os.fsync(file.fileno())


KINDS = (
    Kind("diamonds", "500 diamonds of four tasks", 500, _run(work.diamonds), _get(work.diamonds)),
    Kind("map_reduce", "64 arrays of 1 MiB, added by eights", 64, _run(work.map_reduce), _get(work.map_reduce)),
    Kind("large", "an array of 128 MiB through three tasks (plain Ray: and one write to the disk)",
         128, _run(work.large), _large_plain),
    Kind("many", "1,000 workflows of ten tasks at once", 1_000, _many, _many_plain),
    Kind("calls", "1,000 calls of a virtual actor (plain Ray: of an actor)", 1_000, _calls, _calls_plain),
    Kind("continuations", "2,000 continuations, each of the one before", 2_000, _run(work.count_down.bind)),
)  # fmt: skip
