"""What a task costs, counted in operations of the storage and in what stays in memory; never in time.

These are the performance defects of the old library that need no Ray to be shown absent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pytest

from rayflow.core.graph import Graph
from rayflow.core.records import WorkflowStatus
from rayflow.runtime import intake
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Submission, status_fact
from rayflow.storage.store import Buffer
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    Attempt,
    FakeClock,
    FakeSubmitter,
    finish,
    node,
    surroundings,
)

BOTH = pytest.mark.parametrize("appends", [True, False], ids=["one file", "whole objects"])


class CountingStore(MemoryStore):
    """Counts its operations."""

    def __init__(self, *, appends: bool = True) -> None:
        super().__init__(appends=appends)
        self.counts: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def read(self, key: str, offset: int = 0) -> bytes:
        self.counts["read"] += 1
        return super().read(key, offset)

    def size(self, key: str) -> int | None:
        self.counts["size"] += 1
        return super().size(key)

    def write(self, key: str, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        self.counts["change"] += 1
        self.written[key] += 1
        super().write(key, parts, if_absent=if_absent)

    def append(self, key: str, offset: int, data: Buffer) -> None:
        self.counts["change"] += 1
        super().append(key, offset, data)

    def list(self, prefix: str) -> list[tuple[str, Literal["file", "folder"]]]:
        self.counts["list"] += 1
        return super().list(prefix)


def add(attempt: Attempt) -> int:
    return 1 + sum(attempt.inputs)


def count_down(attempt: Attempt) -> int | Graph:
    left: int = attempt.arguments
    return Graph((node("count_down", arguments=left - 1),)) if left else 0


BODIES = {"add": add, "count_down": count_down}


def chain(length: int) -> Graph:
    return Graph((node("add"), *(node("add", n) for n in range(length - 1))))


def fan(width: int) -> Graph:
    return Graph((*(node("add") for _ in range(width)), node("add", *range(width))))


def run(store: CountingStore, graph: Graph) -> WorkflowRunner:
    async def drive() -> WorkflowRunner:
        opened = intake.create(store, Submission("w", graph, token="t"))
        assert opened.writer is not None
        around = surroundings(FakeSubmitter(BODIES), FakeClock())
        runner = WorkflowRunner(opened.state, opened.writer, around, "counted")
        await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
        store.counts["submission"] = store.counts["change"]
        await finish(runner.run(), ticks=200_000)
        return runner

    runner = asyncio.run(drive())
    assert runner.state.status is WorkflowStatus.SUCCESSFUL
    return runner


@BOTH
def test_a_submission_of_any_size_is_the_same_few_writes(appends: bool) -> None:
    small, large = CountingStore(appends=appends), CountingStore(appends=appends)
    run(small, fan(3))
    run(large, fan(100))
    assert small.counts["submission"] == large.counts["submission"] <= 2


@BOTH
def test_a_task_costs_one_write_and_no_read_however_many_came_before(appends: bool) -> None:
    length, longer = CountingStore(appends=appends), CountingStore(appends=appends)
    run(length, chain(100))
    run(longer, chain(300))
    assert longer.counts["change"] - length.counts["change"] == 200
    assert longer.counts["read"] == length.counts["read"]
    # Each commit asks once whether a later epoch exists; there is nothing to list then.
    assert longer.counts["size"] + longer.counts["list"] <= longer.counts["change"] + 10


@BOTH
def test_a_link_of_a_loop_of_continuations_costs_one_write(appends: bool) -> None:
    short, long = CountingStore(appends=appends), CountingStore(appends=appends)
    run(short, Graph((node("count_down", arguments=100),)))
    run(long, Graph((node("count_down", arguments=300),)))
    assert long.counts["change"] - short.counts["change"] == 200
    assert long.counts["read"] == short.counts["read"]


def test_outcomes_that_arrive_together_share_a_write() -> None:
    store = CountingStore()
    run(store, fan(100))
    assert store.counts["change"] < 100


@BOTH
def test_a_recovery_reads_the_journal_and_not_the_tasks(appends: bool) -> None:
    def cost(length: int) -> Counter[str]:
        store = CountingStore(appends=appends)
        graph = chain(length)
        opened = intake.create(store, Submission("w", graph, token="t"))
        assert opened.writer is not None
        facts = [*opened.first, status_fact(WorkflowStatus.RUNNING)]
        opened.writer.commit([fact.at(n, 1.0) for n, fact in enumerate(facts, start=1)])
        store.counts.clear()
        assert len(intake.adopt(store, "w", resume=True).state.tasks) == length
        return store.counts

    assert cost(10) == cost(200)


@BOTH
def test_nothing_stored_is_written_a_second_time(appends: bool) -> None:
    store = CountingStore(appends=appends)
    run(store, Graph((node("count_down", arguments=5), node("add", 0))))
    assert set(store.written.values()) <= {1}


def test_what_is_finished_is_let_go_while_the_workflow_runs() -> None:
    runner = run(CountingStore(), chain(300))
    held = [t for t in runner.state.tasks.values() if t.value is not None and t.value.data]
    assert [task.task_id for task in held] == [runner.state.root]
    assert not runner._handles
    assert not runner._watchers
    assert not runner.values._memory
    assert len(runner.values._refs) <= 1
