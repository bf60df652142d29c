"""What a worker says to the engine while it runs attempts that it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rayflow.core.graph import StoredValue
from rayflow.core.outcomes import Outcome
from rayflow.runtime import bundle_worker
from rayflow.runtime.bundle_worker import run_bundle
from rayflow.runtime.exchange import Address
from rayflow.runtime.worker import TaskCall
from tests.waiting import until

NUMBER = 7
ADDRESS = Address("127.0.0.1", 1, b"secret")


class FakeLine:
    """The line to an engine: what was said over it, and what the worker does with what comes."""

    is_open = True

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.receive: Callable[[Any], None] = self.said.append

    def send(self, message: Any) -> None:
        self.said.append(message)

    def sign(self, number: int) -> None:
        self.said.append(number)


def call(task_id: str) -> TaskCall:
    args = StoredValue("json", 1, 0, b"1")
    return TaskCall("", "w", task_id, 1, "code", args, (), False, True, "t", may_share=True)


def test_what_arrives_behind_an_attempt_that_takes_long_is_given_back_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line, may_end, ran = FakeLine(), threading.Event(), []

    def run(ready: TaskCall, *_: Any) -> tuple[Outcome, None]:
        ran.append(ready.task_id)
        if ready.task_id == "long":
            assert may_end.wait(60)
        return Outcome("value"), None

    monkeypatch.setattr(bundle_worker, "line_to", lambda address: line)
    monkeypatch.setattr(bundle_worker, "run_task", run)

    def engine() -> None:
        until(lambda: ("here", NUMBER, None) in line.said)
        line.receive(("calls", NUMBER, [(1, call("long")), (2, call("behind"))]))
        until(lambda: ("slow", NUMBER, [2]) in line.said)
        # Given one that was sent before the engine heard of that
        line.receive(("calls", NUMBER, [(3, call("crossing"))]))
        until(lambda: ("slow", NUMBER, [3]) in line.said)
        may_end.set()
        until(lambda: ("ended", NUMBER, [(1, Outcome("value"))]) in line.said)
        # When it has ended, what comes is run again
        line.receive(("calls", NUMBER, [(4, call("next"))]))
        until(lambda: "next" in ran)
        line.receive(("end", NUMBER, None))

    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(engine)
        assert run_bundle(ADDRESS, NUMBER, None) == (None, None)
        playing.result(timeout=60)
    assert ran == ["long", "next"]
