"""Definitions that the acceptance tests launch; loaded by path, as a user's own file is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray

from rayflow import workflow
from tests.crash.ledger import note


@ray.remote(max_retries=20)
def counted_step(ledger: str, name: str, seconds: float, *values: int) -> int:
    note(ledger, name)
    time.sleep(seconds)
    return 1 + sum(values)


@workflow.definition(name="counted")
def counted(ledger: str, links: int = 16, seconds: float = 0.25) -> Any:
    """A chain whose every execution of a task writes a line into the ledger."""
    link: list[Any] = []
    for number in range(links):
        name = f"link-{number}"
        task = counted_step.options(**workflow.options(task_id=name))
        link = [task.bind(ledger, name, seconds, *link)]
    return link[0]


@ray.remote(num_cpus=0)  # waiting must not keep others from running
def hold(flag: str) -> str:
    while not Path(flag).exists():
        time.sleep(0.05)
    return "went on"


@workflow.definition(name="held")
def held(flag: str) -> Any:
    """Waits until a file exists."""
    return hold.bind(flag)


@ray.remote
def must_exist(path: str) -> str:
    if not Path(path).exists():
        raise FileNotFoundError(f"{path} is missing")
    return "found"


@workflow.definition(name="fragile")
def fragile(path: str) -> Any:
    """Fails unless a file exists."""
    return must_exist.bind(path)


@ray.remote(num_cpus=0)
def talk(flag: str) -> None:
    print("begun")
    while not Path(flag).exists():
        time.sleep(0.05)
    print("ended")


@workflow.definition(name="talkative")
def talkative(flag: str) -> Any:
    """Prints a line, waits until a file exists, and prints another one."""
    return talk.options(**workflow.options(task_id="talk")).bind(flag)


@ray.remote(num_cpus=0)
def published(decision: dict[str, Any]) -> str:
    return f"published: {decision['answer']}"


@workflow.definition(name="asking")
def asking() -> Any:
    """Waits for the answer of a person and gives it on."""
    question = workflow.approval(
        "Publish the model?", schema={"enum": ["stable", "beta"]}, task_id="ask"
    )
    return published.options(**workflow.options(task_id="publish")).bind(question)


@ray.remote(num_cpus=0)
def first_part(ledger: str) -> str:
    note(ledger, "first")
    return "one"


@ray.remote(num_cpus=0)
def second_part(ledger: str, before: str) -> str:
    note(ledger, "second")
    return f"{before}, two"


@workflow.definition(name="parts")
def parts(ledger: str) -> Any:
    """Two tasks, each of which writes a line when it runs."""
    first = first_part.options(**workflow.options(task_id="first")).bind(ledger)
    return second_part.options(**workflow.options(task_id="second")).bind(ledger, first)
