"""The work that is measured: bodies that do nothing, so that all time is the system's own."""

from __future__ import annotations

from typing import Any

import ray


@ray.remote
def nothing(number: int = 0) -> int:
    """A task that takes no time."""
    return number


@ray.remote
def follow(before: int) -> int:
    """A link of a chain."""
    return before + 1


@ray.remote
def gather(*values: int) -> int:
    """The end of a fan-out."""
    return len(values)


def fan_out(size: int) -> Any:
    """``size`` tasks side by side and one that takes them all."""
    return gather.bind(*[nothing.bind(number) for number in range(size)])


def chain(length: int) -> Any:
    """``length`` tasks, each taking the one before."""
    node = nothing.bind(0)
    for _ in range(length - 1):
        node = follow.bind(node)
    return node
