"""What those who wait are told when a ``finally_`` task fails after the value was there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rayflow.core.graph import Graph
from rayflow.core.records import WorkflowStatus
from rayflow.errors import OutputNotAvailableError, WorkflowExecutionError
from rayflow.runtime import intake, results
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Submission, status_fact
from rayflow.runtime.live import LiveWorkflow
from rayflow.storage.journal import Journal
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import Attempt, FakeClock, FakeSubmitter, node, surroundings


async def test_the_workflow_has_failed_and_its_task_has_its_output() -> None:
    def broken(attempt: Attempt) -> int:
        raise ValueError("not cleaned")

    store = MemoryStore()
    graph = Graph((node("root"), replace(node("broken"), finally_of=0)), finals=1)
    opened = intake.create(store, Submission("w", graph, token="t"))
    assert opened.writer is not None
    submitter = FakeSubmitter({"root": lambda attempt: 1, "broken": broken})
    around = surroundings(submitter, FakeClock())
    live = LiveWorkflow()
    live.runner = runner = WorkflowRunner(opened.state, opened.writer, around, "token")
    await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
    live.accept()
    waiting = asyncio.ensure_future(live.output("memory", None))
    await runner.run()
    live.finish()
    assert await waiting is None
    assert await live.output("memory", "root") is not None

    records = Journal(store, "w").load()
    with pytest.raises(WorkflowExecutionError, match="not cleaned"):
        results.from_journal("memory", records, "w", None, waited=True, status="FAILED")
    with pytest.raises(OutputNotAvailableError):
        results.from_journal("memory", records, "w", None, waited=False, status="FAILED")
    assert (
        results.from_journal("memory", records, "w", "root", waited=False, status="FAILED")
        is not None
    )
