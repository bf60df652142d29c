"""The projection of journals that the real engine loop has written: ``finally_`` and early starts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rayflow.core.graph import Graph
from rayflow.runtime import intake
from rayflow.runtime.intake import Submission
from rayflow.storage.journal import Journal
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import Attempt, FakeClock, FakeSubmitter, node, run_workflow
from tests.web.fake_gateway import FakeGateway
from workflows_app.follower import Follower
from workflows_app.models import Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("counts_agree")]


def test_a_workflow_with_finally_tasks_and_early_starts_is_shown_as_it_ended(
    engine: FakeGateway, follower: Follower
) -> None:
    def add(attempt: Attempt) -> int:
        return (attempt.arguments or 0) + sum(attempt.inputs)

    def broken(attempt: Attempt) -> int:
        raise ValueError("no")

    graph = Graph(
        (
            node("add", arguments=1, checkpoint="async"),
            node("broken", 0),
            node("add", 1),
            replace(node("add", 0), finally_of=1),
            replace(node("broken"), finally_of=2),
        ),
        2,
    )
    store = MemoryStore()
    opened = intake.create(store, Submission("w1", graph, token="t"))
    submitter = FakeSubmitter({"add": add, "broken": broken})
    asyncio.run(run_workflow(opened, submitter, FakeClock()))
    for record in Journal(store, "w1").load():
        engine.write("w1", record.kind, record.task_id, record.attempt, **record.data)
    follower.step(0)

    workflow = Workflow.objects.get(workflow_id="w1")
    assert (workflow.status, (workflow.error or {})["task_id"]) == ("FAILED", "broken")
    statuses = dict(workflow.tasks.values_list("task_id", "status"))
    # The last one belongs to a task that could not start
    assert statuses == {
        "add": "SUCCESSFUL", "broken": "FAILED", "add_1": "PENDING", "add_2": "SUCCESSFUL",
        "broken_1": "PENDING",
    }  # fmt: skip
    assert workflow.tasks.get(task_id="add").options["checkpoint"] == "async"
