"""The work that is measured: bodies that do nothing, so that all time is the system's own.

``bind`` is how a task is put into a graph: ``task.bind`` for a workflow, ``task.remote`` for plain Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import ray

from rayflow import workflow

How = Literal["bind", "remote"]
MEBIBYTE = 2**20


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


@ray.remote
def block(number: int) -> Any:
    """An array of 1 MiB, like no other."""
    import numpy

    return numpy.full(MEBIBYTE // 8, number, dtype="float64")


@ray.remote
def add(*blocks: Any) -> Any:
    """The sum of arrays."""
    return sum(blocks[1:], start=blocks[0])


@ray.remote
def array(mebibytes: int) -> Any:
    """A large array."""
    import numpy

    return numpy.arange(mebibytes * MEBIBYTE // 8, dtype="float64")


@ray.remote
def invert(values: Any) -> Any:
    """Another one of the same size."""
    return -values


@ray.remote
def length_of(values: Any) -> int:
    """What is small again."""
    return len(values)


@ray.remote
def count_down(left: int) -> Any:
    """A task that goes on as another one, until there is nothing left."""
    return workflow.continuation(count_down.bind(left - 1)) if left else 0


@workflow.virtual_actor
class Counter:
    """Counts, durably."""

    def __init__(self) -> None:
        self.value = 0

    def incr(self) -> int:
        self.value += 1
        return self.value


@ray.remote
class PlainCounter:
    """Counts, in memory."""

    def __init__(self) -> None:
        self.value = 0

    def incr(self) -> int:
        self.value += 1
        return self.value


def fan_out(size: int) -> Any:
    """``size`` tasks side by side and one that takes them all."""
    return gather.bind(*[nothing.bind(number) for number in range(size)])


def chain(length: int, how: How = "bind") -> Any:
    """``length`` tasks, each taking the one before."""
    node = _put(nothing, how)(0)
    for _ in range(length - 1):
        node = _put(follow, how)(node)
    return node


def diamonds(number: int, how: How = "bind") -> Any:
    """``number`` times a task, two that take it, and one that takes both; then one that takes all."""
    ends = []
    for n in range(number):
        top = _put(nothing, how)(n)
        ends.append(_put(gather, how)(_put(follow, how)(top), _put(follow, how)(top)))
    return _put(gather, how)(*ends)


def map_reduce(number: int, how: How = "bind") -> Any:
    """``number`` arrays of 1 MiB, added by eights until there is one."""
    level = [_put(block, how)(n) for n in range(number)]
    while len(level) > 1:
        level = [_put(add, how)(*level[n : n + 8]) for n in range(0, len(level), 8)]
    return _put(length_of, how)(level[0])


def large(mebibytes: int, how: How = "bind") -> Any:
    """An array through three tasks."""
    return _put(length_of, how)(_put(invert, how)(_put(array, how)(mebibytes)))


def _put(task: Any, how: How) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(task, how)
    return found
