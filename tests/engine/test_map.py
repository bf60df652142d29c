"""One function for every item of a list that is known only when the workflow runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.storage import manifest
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:DAGNode.execute:DeprecationWarning")


@ray.remote
def numbers(count: int) -> list[int]:
    return list(range(count))


@ray.remote
def double(number: int) -> int:
    return 2 * number


@ray.remote
def total(values: list[int]) -> int:
    return sum(values)


@ray.remote
def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def test_a_list_that_a_task_has_made_is_mapped_in_order(engine: str) -> None:
    dag = total.bind(workflow.map(double, numbers.bind(300)))
    assert workflow.run(dag, workflow_id="mapped") == sum(range(300)) * 2
    found = workflow.get_metadata("mapped", "workflow.map")["items"]
    assert found == {"total": 300, "successful": 300, "failed": 0, "running": 0, "waiting": 0}
    name = workflow.get_metadata("mapped", "tests.engine.test_map.double_7")["name"]
    assert name == "tests.engine.test_map.double"
    assert workflow.get_output("mapped", task_id="tests.engine.test_map.double_7") == 14
    records = Journal(open_store(engine), "mapped").load()
    declared = [r for r in records if r.kind == "task" and "item" in r.data]
    assert (len(declared), len(list(manifest.packed(declared)))) == (300, 2)


def test_any_iterable_is_a_list_and_an_empty_one_has_no_items(engine: str) -> None:
    def some() -> Iterator[int]:
        yield from (3, 1)

    assert workflow.run(workflow.map(double, some())) == [6, 2]
    assert workflow.run(workflow.map(double, [])) == []
    assert workflow.continuation(workflow.map(double, (1, 2))) == [2, 4]


def test_items_may_be_large_or_references(engine: str) -> None:
    @ray.remote
    def size(value: bytes) -> int:
        return len(value)

    items = [b"x" * 10, b"x" * 300_000, ray.put(b"x" * 20), b"x" * 30]
    assert workflow.run(workflow.map(size, items)) == [10, 300_000, 20, 30]


def test_errors_of_items_are_collected_or_fail_the_workflow(engine: str) -> None:
    found = workflow.run(workflow.map(odd_fails, [0, 1, 2], on_error="collect"))
    assert [value for value, _ in found] == [0, None, 2]
    assert [str(error) for _, error in found] == ["None", "1 is odd", "None"]
    with pytest.raises(workflow.WorkflowExecutionError, match="3 is odd"):
        workflow.run(workflow.map(odd_fails, [3]))
    outside = workflow.continuation(workflow.map(odd_fails, [0, 1], on_error="collect"))
    assert outside[0] == (0, None)
    assert isinstance(outside[1][1], ValueError)


def test_no_more_items_run_at_once_than_asked_for(engine: str, tmp_path: Path) -> None:
    @ray.remote(num_cpus=0)
    def alone(number: int) -> int:
        mark = tmp_path / "running"
        mark.touch(exist_ok=False)
        mark.unlink()
        return number

    assert workflow.run(workflow.map(alone, range(12), max_in_flight=1)) == list(range(12))


def test_after_a_crash_only_the_missing_items_run(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, ledger, flag = own_engine(), tmp_path / "ledger", tmp_path / "flag"
    ledger.touch()

    @ray.remote
    def slow(number: int) -> int:
        note(str(ledger), f"item-{number}")
        if number >= 5:
            until(flag.exists)
        return number

    dag = workflow.map(slow, numbers.bind(10), max_in_flight=3, task_id="each")
    ref = workflow.run_async(dag, workflow_id="crashes")
    until(lambda: executions(ledger)["item-6"] == 1)
    items = workflow.get_metadata("crashes", "each")["items"]
    assert (items["total"], items["failed"]) == (10, 0)
    os.kill(engine_pid(root), signal.SIGKILL)
    flag.touch()
    assert ray.get(ref) == list(range(10))
    ran = executions(ledger)
    assert [ran[f"item-{n}"] for n in range(4)] == [1] * 4  # recorded before the seventh began
    assert all(ran[f"item-{n}"] <= 2 for n in range(10))


def test_an_item_may_be_a_graph_of_its_own(engine: str) -> None:
    @ray.remote
    def deep(number: int) -> Any:
        return workflow.continuation(double.bind(double.bind(number)))

    assert workflow.run(workflow.map(deep, [1, 2, 3], max_in_flight=2)) == [4, 8, 12]


def test_what_makes_no_sense_is_refused(engine: str) -> None:
    @ray.remote
    def two(a: int, b: int) -> int:
        return a + b

    for error, call in (
        (TypeError, lambda: workflow.map(len, [1])),
        (TypeError, lambda: workflow.map(double, 5)),
        (TypeError, lambda: workflow.map(double, "text")),
        (TypeError, lambda: workflow.map(two, [1])),
        (TypeError, lambda: workflow.map(double, [1], max_in_flight=True)),
        (ValueError, lambda: workflow.map(double, [1], max_in_flight=0)),
        (ValueError, lambda: workflow.map(double, [1], on_error="ignore")),
    ):
        with pytest.raises(error):
            call()
    with pytest.raises(workflow.WorkflowExecutionError, match="items is a list"):
        workflow.run(workflow.map(double, double.bind(1)))
