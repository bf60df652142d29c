"""Parents and children that were apart when something happened to one of them."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import pytest

from rayflow.core.graph import Graph
from rayflow.core.records import Fact, Kind, Record, WorkflowStatus
from rayflow.core.state import WorkflowState
from rayflow.core.waits import WaitKind
from rayflow.errors import WorkflowEndedError
from rayflow.runtime import intake
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.family import Family
from rayflow.runtime.intake import Submission, status_fact
from rayflow.runtime.waiting import Message
from rayflow.storage.index import SUSPENDED, IndexEntry
from rayflow.storage.journal import Journal
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import FakeClock, FakeSubmitter, node, surroundings

LINK = {"workflow_id": "parent", "task_id": "t", "waits": True, "on_cancel": "cancel"}
ASKED = [Fact(Kind.RESUMED, data={"reset": [], "asked": True})]


class Relatives:
    """A family with a parent that waits for ``child``; remembers what the engine was asked for."""

    def __init__(self, status: str | None, was: str | None = None) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.refusal: Exception | None = None
        self.store = MemoryStore()
        self.entries: dict[str, IndexEntry] = {}
        if status is not None:
            self.entries["child"] = IndexEntry("child", status, 0.0, 0.0, None, was)
        self.family = Family(self, self.replay)

    async def known(self, workflow_id: str) -> IndexEntry | None:
        return self.entries.get(workflow_id)

    async def call(self, workflow_id: str, verb: str, *args: Any) -> None:
        await getattr(self, verb)(*args)

    async def replay(self, workflow_id: str) -> WorkflowState:
        return Journal(self.store, workflow_id).replay()

    async def tell(self, workflow_id: str, message: Message) -> None:
        self.asked.append(("tell", workflow_id, message.payload["status"]))
        if self.refusal is not None:
            raise self.refusal

    async def cancel(self, workflow_id: str) -> None:
        self.asked.append(("cancel", workflow_id))

    async def resume(self, workflow_id: str) -> None:
        self.asked.append(("resume", workflow_id))
        if self.refusal is not None:
            raise self.refusal

    async def runner(self, workflow_id: str, parent: dict[str, Any] | None = None) -> Any:
        """A workflow whose only task waits for ``child``, up to where it waits."""
        graph = Graph((node("waits", wait={"kind": WaitKind.CHILD, "name": "child"}),))
        opened = intake.create(self.store, Submission(workflow_id, graph, "t", parent=parent))
        assert opened.writer is not None
        around = surroundings(FakeSubmitter({}), FakeClock())
        runner = WorkflowRunner(opened.state, opened.writer, around, "token")
        await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
        await runner.commit([Fact(Kind.WAITING, "waits", 1, {"until": None})])
        return runner

    async def settled(self) -> list[tuple[str, ...]]:
        for _ in range(20):
            await asyncio.sleep(0)
        return self.asked


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("SUCCESSFUL", [("tell", "parent", "SUCCESSFUL")]),
        ("FAILED", [("tell", "parent", "FAILED")]),
        ("CANCELED", [("tell", "parent", "CANCELED")]),
        (None, [("tell", "parent", "NONE")]),
        ("RUNNING", []),
        ("PENDING", []),
        ("RESUMABLE", []),
    ],
)
async def test_a_parent_that_is_opened_hears_what_it_has_missed(
    status: str | None, expected: list[Any]
) -> None:
    relatives = Relatives(status)
    relatives.family.opened(await relatives.runner("parent"), [])
    assert await relatives.settled() == expected


@pytest.mark.parametrize("status", ["RESUMABLE", "FAILED"])
async def test_who_resumes_a_parent_resumes_the_child_that_it_waits_for(status: str) -> None:
    relatives = Relatives(status)
    relatives.family.opened(await relatives.runner("parent"), ASKED)
    assert await relatives.settled() == [("resume", "child")]


async def test_a_child_that_somebody_has_suspended_stays_so() -> None:
    relatives = Relatives("RESUMABLE", was=SUSPENDED)
    relatives.family.opened(await relatives.runner("parent"), ASKED)
    assert await relatives.settled() == []


async def test_a_child_that_cannot_be_resumed_is_the_parents_error() -> None:
    relatives = Relatives("FAILED")
    relatives.refusal = queue.Full("no place")
    runner = await relatives.runner("parent")
    relatives.family.opened(runner, ASKED)
    assert (await relatives.settled())[:1] == [("resume", "child")]
    assert ("tell", "parent", "FAILED") in relatives.asked


async def test_a_wait_that_begins_after_the_child_has_ended_ends() -> None:
    relatives = Relatives("FAILED")
    runner = await relatives.runner("parent")
    begun = Record(9, 0.0, Kind.WAITING, "waits", 1)
    relatives.family.committed(runner.state, [begun])
    assert await relatives.settled() == [("tell", "parent", "FAILED")]
    relatives.asked.clear()
    again = Record(10, 0.0, Kind.WAITING, "waits", 2)
    relatives.family.committed(runner.state, [again])
    assert await relatives.settled() == [("resume", "child")]


async def test_a_child_of_a_canceled_parent_is_cancelled_when_it_is_opened() -> None:
    relatives = Relatives("RUNNING")
    relatives.entries["parent"] = IndexEntry("parent", "CANCELED", 0.0, 0.0, None)
    for on_cancel, expected in (("cancel", True), ("abandon", False)):
        runner = await relatives.runner(f"kid-{on_cancel}", {**LINK, "on_cancel": on_cancel})
        relatives.family.opened(runner, [])
        facts = await asyncio.wait_for(runner._inbox.facts(0.0), 5)
        assert [fact.kind for fact in facts] == [Kind.CANCEL_REQUESTED] * expected


async def test_ends_are_told_to_those_who_wait_and_to_nobody_else() -> None:
    relatives = Relatives("RUNNING")
    waited = (await relatives.runner("kid", LINK)).state
    alone = (await relatives.runner("other", {**LINK, "waits": False})).state
    for status in WorkflowStatus:
        relatives.family.ended(alone, status, 1.0)
    assert await relatives.settled() == []
    relatives.family.ended(waited, WorkflowStatus.RESUMABLE, 1.0)  # it may go on
    assert await relatives.settled() == []
    relatives.refusal = WorkflowEndedError("parent")
    relatives.family.ended(waited, WorkflowStatus.SUCCESSFUL, 1.0)
    assert await relatives.settled() == [("tell", "parent", "SUCCESSFUL")]


async def test_a_workflow_that_is_cancelled_takes_its_children_along() -> None:
    relatives = Relatives("RUNNING")
    state = WorkflowState()
    state.children = {
        name: {"child": name, "waits": False, "on_cancel": how}
        for name, how in (("a", "cancel"), ("b", "abandon"))
    }
    relatives.family.ended(state, WorkflowStatus.FAILED, 1.0)
    assert await relatives.settled() == []
    relatives.family.ended(state, WorkflowStatus.CANCELED, 1.0)
    assert await relatives.settled() == [("cancel", "a")]


async def test_who_waits_for_a_child_hears_that_it_is_deleted() -> None:
    relatives = Relatives("FAILED")
    await relatives.runner("child", LINK)
    await relatives.family.gone("child", WorkflowStatus.NONE)
    assert await relatives.settled() == [("tell", "parent", "NONE")]
