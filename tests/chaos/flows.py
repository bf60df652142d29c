"""The workflows of the chaos run: of every shape, each with the value that it must have in the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from rayflow import context, workflow

LARGE = 200_000
VOLATILE = "volatile"  # tasks with this name keep no checkpoint, so they may run again
RETRIES = 1000  # so many kills do not happen


def note(ledger: str, flow: str, task: str) -> int:
    """Write that the body of ``task`` begins; returns how often it has begun, this time included."""
    mark = os.environ["RAYFLOW_TEST_CLUSTER"]
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{flow} {task} {time.time()} {os.getpid()} {mark}\n".encode())
    finally:
        os.close(descriptor)
    with Path(ledger).open() as file:
        return sum(line.startswith(f"{flow} {task} ") for line in file)


@ray.remote
def add(place: tuple[str, str, str], seconds: float, *values: int) -> int:
    note(*place)
    time.sleep(seconds)
    return 1 + sum(values)


@ray.remote
def fail_twice(place: tuple[str, str, str]) -> int:
    if note(*place) < 3:
        raise ValueError("not yet")
    return 1


@ray.remote
def fail(place: tuple[str, str, str]) -> int:
    note(*place)
    raise ValueError("always")


@ray.remote
def handle(place: tuple[str, str, str], pair: tuple[Any, Exception]) -> int:
    note(*place)
    return 7 if isinstance(pair[1], ValueError) else 0


@ray.remote
def count_down(place: tuple[str, str, str], left: int) -> Any:
    ledger, flow, _ = place
    note(*place)
    if left == 0:
        return 5
    name = f"count-{left - 1}"
    again = count_down.options(max_retries=RETRIES, **workflow.options(task_id=name))
    return workflow.continuation(again.bind((ledger, flow, name), left - 1))


@ray.remote
def large(place: tuple[str, str, str]) -> bytes:
    note(*place)
    return b"x" * LARGE


@ray.remote
def length(place: tuple[str, str, str], value: bytes) -> int:
    note(*place)
    return len(value)


@ray.remote
def after(place: tuple[str, str, str], value: int, _waited: Any) -> int:
    note(*place)
    return value


@ray.remote
def tell(place: tuple[str, str, str]) -> int:
    """Send a signal to the workflow itself, which may be waiting for it already."""
    note(*place)
    workflow.signal(place[1], "go", 3, key="go")
    return 1


@ray.remote
def beget(place: tuple[str, str, str]) -> Any:
    ledger, flow, name = place
    note(*place)
    child = Flow(ledger, f"{flow}.{name}.1")
    return workflow.child(child.task(add, "born", 0.1, child.task(add, "early", 0.1)))


@ray.remote
def spread(place: tuple[str, str, str]) -> Any:
    note(*place)
    ledger, flow, _ = place
    items = [(ledger, flow, number) for number in range(6)]
    doubled = double.options(max_retries=RETRIES)
    return workflow.map(doubled, items, max_in_flight=2)


@ray.remote
def double(item: tuple[str, str, int]) -> int:
    ledger, flow, number = item
    task = context.current.get()
    assert task is not None
    note(ledger, flow, task.task_id)
    return 2 * number


@ray.remote
def total(place: tuple[str, str, str], values: list[int]) -> int:
    note(*place)
    return sum(values)


@workflow.virtual_actor
class Account:
    def __init__(self) -> None:
        self.total = 0

    def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    @workflow.virtual_actor.readonly
    def balance(self) -> int:
        return self.total


@ray.remote
def deposit(place: tuple[str, str, str], amount: int) -> int:
    """Call an actor, twice, and take a while in between."""
    note(*place)
    account = Account.get_or_create(f"{place[1]}.account")
    account.add.options(max_retries=RETRIES).run(amount)
    time.sleep(0.1)
    account.add.options(max_retries=RETRIES).run(amount)
    return amount


@ray.remote
def balance(place: tuple[str, str, str], *_deposits: int) -> int:
    note(*place)
    return int(workflow.get_actor(f"{place[1]}.account").balance.run())


class Flow:
    """Names the tasks of one workflow, in the journal and in the ledger alike."""

    def __init__(self, ledger: str, flow: str) -> None:
        self._ledger, self._flow = ledger, flow

    def task(
        self, function: Any, name: str, *args: Any, ours: Any = None, **ray_options: Any
    ) -> Any:
        """A node; ``ours``: options of workflow.options."""
        chosen = function.options(
            max_retries=RETRIES, **ray_options, **workflow.options(task_id=name, **(ours or {}))
        )
        return chosen.bind((self._ledger, self._flow, name), *args)


def chain(flow: Flow) -> tuple[Any, int]:
    link = flow.task(add, "link-0", 0.05)
    for number in range(1, 6):
        link = flow.task(add, f"link-{number}", 0.05, link)
    return link, 6


def fan(flow: Flow) -> tuple[Any, int]:
    wide = [flow.task(add, f"wide-{n}", 0.2) for n in range(6)]
    return flow.task(add, "join", 0.05, *wide), 7


def retried(flow: Flow) -> tuple[Any, int]:
    flaky = flow.task(fail_twice, "flaky", retry_exceptions=True)
    return flow.task(add, "after", 0.05, flaky), 2


def continued(flow: Flow) -> tuple[Any, int]:
    return flow.task(add, "after", 0.05, flow.task(count_down, "count-3", 3)), 6


def caught(flow: Flow) -> tuple[Any, int]:
    broken = flow.task(fail, "broken", ours={"catch_exceptions": True})
    return flow.task(handle, "handle", broken), 7


def unkept(flow: Flow) -> tuple[Any, int]:
    first = flow.task(add, "first", 0.05)
    middle = flow.task(add, VOLATILE, 0.05, first, ours={"checkpoint": False})
    return flow.task(add, "last", 0.2, middle), 3


def heavy(flow: Flow) -> tuple[Any, int]:
    lengths = [flow.task(length, f"length-{n}", flow.task(large, f"large-{n}")) for n in range(2)]
    return flow.task(add, "sum", 0.05, *lengths), 2 * LARGE + 1


def waiting(flow: Flow) -> tuple[Any, int]:
    rested = flow.task(after, "rested", flow.task(add, "first", 0.05), workflow.sleep(0.5))
    told = flow.task(after, "told", flow.task(tell, "tell"), workflow.wait_for_signal("go"))
    return flow.task(
        add, "both", 0.05, rested, told, workflow.wait_for_signal("no", timeout=1, on_timeout=4)
    ), 7


def parental(flow: Flow) -> tuple[Any, int]:
    return flow.task(add, "after", 0.05, flow.task(beget, "beget")), 3


def mapped(flow: Flow) -> tuple[Any, int]:
    return flow.task(total, "total", flow.task(spread, "spread")), 30


def counted(flow: Flow) -> tuple[Any, int]:
    deposits = [flow.task(deposit, f"deposit-{n}", n) for n in range(1, 5)]
    return flow.task(balance, "balance", *deposits), 20


SHAPES: list[Callable[[Flow], tuple[Any, int]]] = [
    chain, fan, retried, continued, caught, unkept, heavy, waiting, parental, mapped, counted,
]  # fmt: skip


def name_of(number: int) -> str:
    """The id of workflow ``number``."""
    return f"{SHAPES[number % len(SHAPES)].__name__}-{number}"


def build(number: int, ledger: str) -> tuple[Any, int]:
    """The DAG of workflow ``number`` and its value."""
    return SHAPES[number % len(SHAPES)](Flow(ledger, name_of(number)))
