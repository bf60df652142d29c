"""A virtual actor with methods of every kind, and a handle to one of it, for the tests of actors."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import ray

from rayflow import workflow
from tests.waiting import content


@workflow.virtual_actor
class Counter:
    def __init__(self, x: int = 0) -> None:
        self.x = x

    @workflow.virtual_actor.readonly
    def get(self) -> int:
        self.x += 1000  # is gone with the instance
        return self.x - 1000

    @workflow.virtual_actor.readonly
    def broken_reader(self) -> None:
        raise KeyError("reader")

    @workflow.virtual_actor.readonly
    def wrong_reader(self) -> Any:
        return plus.step(1, 2)

    def incr(self, n: int = 1) -> int:
        self.x += n
        return self.x

    def fail(self) -> None:
        self.x = -1
        raise ValueError("no")

    def fail_until(self, path: str) -> int:
        self.x += 1
        if not Path(path).exists():
            raise ValueError("not yet")
        return self.x

    def countdown(self, n: int) -> Any:
        self.x += 1
        return self.countdown.step(n - 1) if n else self.x

    def add_up(self, a: int, b: int) -> Any:
        self.x += 1
        return self.incr.step(plus.step(a, b))

    def spread(self) -> Any:
        self.x += 1
        return plus.step(plus.step(1, 2), 3)

    def spread_and_fail(self) -> Any:
        self.x += 1
        return plus.step(refuse.step(), 3)

    def wrong(self) -> Any:
        self.lock = threading.Lock()

    @staticmethod
    def double(n: int) -> int:
        return 2 * n

    def of_other(self, other: Any, n: int) -> int:
        self.x += 1
        return int(other.incr.run(n))

    def of_myself(self) -> int:
        return int(workflow.get_actor("selfish").incr.run())

    def remind(self, seconds: float) -> None:
        self.x += 1
        workflow.later(self.incr.step(pick.step(100, workflow.sleep(seconds))))

    def await_payment(self) -> None:
        workflow.later(self.incr.step(workflow.wait_for_signal("paid")))

    def await_file(self, path: str) -> None:
        workflow.later(self.incr.step(workflow.wait_for_event(FileListener, path)))

    def await_post(self) -> None:
        event = workflow.wait_for_event(workflow.HTTPListener, event_key="post")
        workflow.later(self.incr.step(second.step(event)))

    def start_other(self) -> str:
        return workflow.child(total.bind(1, 2), workflow_id="started-by-actor", wait=False)

    def die_until(self, path: str) -> int:
        if not Path(path).exists():
            Path(path).touch()
            os._exit(1)
        return self.x

    def remind_and_fail(self) -> None:
        workflow.later(self.incr.step(1000))
        raise ValueError("no")


class FileListener(workflow.EventListener):
    """Waits for a file, whose text is a number."""

    async def poll_for_event(self, path: str) -> int:
        while not (number := content(path)):
            await asyncio.sleep(0.02)
        return int(number)


@ray.remote
def total(*values: int) -> int:
    return sum(values)


@workflow.step
def second(pair: tuple[str, int]) -> int:
    return pair[1]


@workflow.step
def plus(a: int, b: int) -> int:
    return a + b


@workflow.step
def pick(value: int, _waited: Any) -> int:
    return value


@workflow.step(max_retries=0)
def refuse() -> int:
    raise ValueError("refused")


@workflow.virtual_actor
class Registry:
    """Says itself what is stored of it."""

    def __init__(self) -> None:
        self.lock, self.names = threading.Lock(), {"set"}

    def add(self, name: str) -> list[str]:
        with self.lock:
            self.names.add(name)
        return sorted(self.names)

    def __getstate__(self) -> set[str]:
        return self.names

    def __setstate__(self, state: set[str]) -> None:
        self.lock, self.names = threading.Lock(), state
