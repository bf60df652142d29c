"""The process of an attempt: where it is, and how to make sure that it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Place:
    """A process that runs an attempt: its node (Ray's id and address), and when it was seen there."""

    node_id: str
    node: str
    pid: int
    seen_at: float


def this_process() -> Place:
    """Where the caller runs."""
    return Place(_node_id(), node_address(), os.getpid(), time.time())


@lru_cache(maxsize=1)
def node_address() -> str:
    """The address of this node."""
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


async def destroy(place: Place) -> None:
    """Kill the process, if it is still there, and return when it is gone.

    A node that is gone, or that cannot be reached by Ray any more, has no process of ours.
    """
    if place.node_id == _node_id():
        while _kill(place):
            await asyncio.sleep(_POLL_SECONDS)
        return
    strategy = NodeAffinitySchedulingStrategy(node_id=place.node_id, soft=False)
    with suppress(ray.exceptions.RayError):
        await _destroyer().options(scheduling_strategy=strategy).remote(place)


def _destroy_here(place: Place) -> None:
    while _kill(place):
        time.sleep(_POLL_SECONDS)


@lru_cache(maxsize=1)
def _destroyer() -> Any:
    return ray.remote(num_cpus=0, max_retries=3)(_destroy_here)


def _kill(place: Place) -> bool:
    """Kill the process; False if it is gone. A younger process only has the same number."""
    try:
        process = psutil.Process(place.pid)
        if process.create_time() > place.seen_at or process.status() == psutil.STATUS_ZOMBIE:
            return False
        os.kill(place.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return True


@lru_cache(maxsize=1)
def _node_id() -> str:
    return str(ray.get_runtime_context().get_node_id())
