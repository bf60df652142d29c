"""Taking over a workflow from its journal: what runs again, and what does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rayflow.core.graph import Graph
from rayflow.core.outcomes import Outcome
from rayflow.core.records import Kind, WorkflowStatus
from rayflow.core.state import fold
from rayflow.core.tasks import TaskStatus
from rayflow.errors import WorkflowNotFoundError, WorkflowNotResumableError
from rayflow.runtime import intake
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Submission, status_fact
from rayflow.runtime.submitter import Handle
from rayflow.runtime.worker import TaskCall
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    Attempt,
    FakeClock,
    FakeSubmitter,
    finish,
    node,
    run_workflow,
    stored,
    surroundings,
    unstored,
)


class Bodies:
    """Code that fails until it is told that the cause has gone."""

    def __init__(self) -> None:
        self.is_mended = False

    def add(self, attempt: Attempt) -> int:
        return (attempt.arguments or 0) + sum(attempt.inputs)

    def fails(self, attempt: Attempt) -> int:
        if not self.is_mended:
            raise ValueError("not mended")
        return self.add(attempt)


def submitter(bodies: Bodies) -> FakeSubmitter:
    return FakeSubmitter({"add": bodies.add, "fails": bodies.fails})


def run_new(store: Store, graph: Graph, bodies: Bodies) -> WorkflowStatus:
    opened = intake.create(store, Submission("w", graph, token="t"))
    return asyncio.run(run_workflow(opened, submitter(bodies), FakeClock())).status


def resume(store: Store, bodies: Bodies) -> tuple[int, list[str]]:
    """The result and the tasks that ran."""
    ran = submitter(bodies)
    state = asyncio.run(run_workflow(intake.adopt(store, "w", resume=True), ran, FakeClock()))
    assert (state.status, ran.problems) == (WorkflowStatus.SUCCESSFUL, [])
    value = fold(Journal(store, "w").load()).output.value
    assert value is not None
    return unstored(value), [call.task_id for call in ran.executed]


def test_a_resume_runs_the_failed_tasks_and_what_follows_from_them_only() -> None:
    store, bodies = MemoryStore(), Bodies()
    graph = Graph((node("add", arguments=1), node("fails", 0), node("add", 1)))
    assert run_new(store, graph, bodies) is WorkflowStatus.FAILED
    bodies.is_mended = True
    assert resume(store, bodies) == (1, ["fails", "add_1"])


def test_a_resumed_task_gets_its_input_again_that_was_not_checkpointed() -> None:
    store, bodies = MemoryStore(), Bodies()
    graph = Graph((node("add", arguments=1, checkpoint=False), node("fails", 0)))
    assert run_new(store, graph, bodies) is WorkflowStatus.FAILED
    bodies.is_mended = True
    assert resume(store, bodies) == (1, ["add", "fails"])


def test_a_resume_after_a_crash_between_a_failure_and_its_end_runs_the_failed_task() -> None:
    # Given a workflow whose task has failed for good, and an engine that died before it said so
    store, bodies = MemoryStore(), Bodies()
    graph = Graph((node("add", arguments=1), node("fails", 0), node("add", 1)))
    run_new(store, graph, bodies)
    [key] = [key for key in store.content if "journal" in key]
    ends = [f.end.offset for f in Journal(store, "w")._log.read(1)]
    store.content[key] = store.content[key][: ends[-2]]
    assert fold(Journal(store, "w").load()).tasks["fails"].status is TaskStatus.FAILED
    # When somebody resumes it
    bodies.is_mended = True
    # Then the task has another chance, as after an ordinary failure
    assert resume(store, bodies) == (1, ["fails", "add_1"])


def test_a_recovery_after_such_a_crash_ends_the_workflow_as_failed_with_its_own_error() -> None:
    store, bodies = MemoryStore(), Bodies()
    graph = Graph((node("add", arguments=1, checkpoint=False), node("fails", 0), node("add", 0, 1)))
    run_new(store, graph, bodies)
    [key] = [key for key in store.content if "journal" in key]
    ends = [f.end.offset for f in Journal(store, "w")._log.read(1)]
    store.content[key] = store.content[key][: ends[-2]]
    ran = submitter(bodies)
    opened = intake.adopt(store, "w", resume=False)
    state = asyncio.run(run_workflow(opened, ran, FakeClock()))
    assert (state.status, ran.executed) == (WorkflowStatus.FAILED, [])
    assert state.error is not None
    assert state.error["message"] == "not mended"


def test_a_successful_workflow_is_not_claimed_again() -> None:
    store, bodies = MemoryStore(), Bodies()
    run_new(store, Graph((node("add", arguments=3),)), bodies)
    before = dict(store.content)
    assert intake.adopt(store, "w", resume=True).writer is None
    assert store.content == before


def test_a_successful_workflow_whose_output_was_not_kept_computes_it_again() -> None:
    store, bodies = MemoryStore(), Bodies()
    run_new(store, Graph((node("add", arguments=3), node("add", 0, checkpoint=False))), bodies)
    opened = intake.adopt(store, "w", resume=True)
    assert [fact.data["reset"] for fact in opened.first] == [["add_1"]]


def test_nothing_stored_is_not_resumable() -> None:
    with pytest.raises(WorkflowNotResumableError, match="'w'"):
        intake.adopt(MemoryStore(), "w", resume=True)


def test_a_submission_that_was_never_acknowledged_gives_way_to_the_next() -> None:
    store, bodies = MemoryStore(), Bodies()
    opened = intake.create(store, Submission("w", Graph((node("add", arguments=1),)), token="a"))
    assert opened.writer is not None
    opened.writer.commit([fact.at(n, 0.0) for n, fact in enumerate(opened.first, start=1)])
    assert run_new(store, Graph((node("add", arguments=2),)), bodies) is WorkflowStatus.SUCCESSFUL
    assert fold(Journal(store, "w").load()).accepted["submission"] == "t"


def test_cancelling_at_rest_is_recorded_and_keeps_the_outcomes() -> None:
    store, bodies = MemoryStore(), Bodies()
    run_new(store, Graph((node("add", arguments=1), node("fails", 0))), bodies)
    intake.cancel_at_rest(store, "w")
    state = fold(Journal(store, "w").load())
    assert state.status is WorkflowStatus.CANCELED
    assert state.tasks["add"].status is TaskStatus.SUCCESSFUL


class Scripted:
    """A submitter whose attempts all end in the same turn of the event loop, in a given order."""

    def is_short(self, code: str) -> bool:
        return False

    def __init__(self, outcomes: dict[str, Outcome]) -> None:
        self._outcomes, self._go = outcomes, asyncio.Event()
        self._expected = set(outcomes)

    def submit(self, call: TaskCall, options: object, refs: object) -> Handle:
        self._expected.discard(call.task_id)
        if not self._expected:
            self._go.set()
        return Handle(call.task_id, None)

    async def outcome(self, handle: Handle) -> Outcome:
        await self._go.wait()
        return self._outcomes.get(handle.outcome, Outcome("stopped"))

    def stop(self, handle: Handle, *, force: bool) -> None:
        self._go.set()

    async def destroy(self, place: object) -> None:
        raise AssertionError("nothing here has a process")


def test_a_success_is_not_taken_back_by_a_failure_that_arrives_with_it() -> None:
    # Given a catching task that has continued as two parallel tasks and their sum
    below = Graph((node("add", arguments=1), node("fails"), node("add", 0, 1)))
    graph = Graph((node("parent", catch_exceptions=True),))
    error = {"type": "ValueError", "message": "no", "traceback": None}
    caught = stored((None, ValueError("no")))
    store = MemoryStore()

    async def run() -> None:
        script = Scripted({"parent": Outcome("graph", graph=below)})
        opened = intake.create(store, Submission("w", graph, token="t"))
        assert opened.writer is not None
        around = surroundings(script, FakeClock())  # type: ignore[arg-type]
        runner = WorkflowRunner(opened.state, opened.writer, around, "token")
        await runner.commit([*opened.first, status_fact(WorkflowStatus.RUNNING)])
        # When one of them succeeds and the other one fails before the next commit
        script._outcomes["add"] = Outcome("value", value=stored(1))
        script._outcomes["fails"] = Outcome("error", value=caught, error=error)
        await finish(runner.run())

    asyncio.run(run())
    # Then both outcomes stand, and only what has none is cancelled
    records = Journal(store, "w").load()
    canceled = [r.task_id for r in records if r.kind == Kind.TASK_CANCELED]
    succeeded = [r.task_id for r in records if r.kind == Kind.SUCCEEDED]
    assert succeeded == ["add", "parent"]
    assert canceled == ["add_1"]


def suspend_and_cancel(store: Store) -> list[str]:
    """Suspend a workflow when its first task has run, cancel it at rest; the tasks that ran."""
    ran: list[str] = []

    def note(attempt: Attempt) -> int:
        ran.append(attempt.call.task_id)
        return 1

    graph = Graph(
        (node("first"), node("second", 0), replace(node("clean", 0), finally_of=0)), finals=1
    )
    bodies = dict.fromkeys(("first", "second", "clean"), note)
    opened = intake.create(store, Submission("w", graph, token="t"))
    work = run_workflow(opened, FakeSubmitter(bodies), FakeClock(), suspend_after=1)
    assert asyncio.run(work).status is WorkflowStatus.RESUMABLE
    assert not intake.cancel_at_rest(store, "w")
    assert fold(Journal(store, "w").load()).status is WorkflowStatus.RESUMABLE
    taken = intake.adopt(store, "w", resume=False)
    state = asyncio.run(run_workflow(taken, FakeSubmitter(bodies), FakeClock()))
    assert state.status is WorkflowStatus.CANCELED
    return ran


def test_a_workflow_at_rest_is_canceled_after_its_finally_tasks() -> None:
    store = MemoryStore()
    assert suspend_and_cancel(store) == ["first", "clean"]
    # When it is canceled once more, there is nothing left to do
    assert intake.cancel_at_rest(store, "w")


def test_a_workflow_that_never_ran_is_canceled_without_its_finally_tasks() -> None:
    store = MemoryStore()
    graph = Graph((node("first"), replace(node("clean"), finally_of=0)), finals=1)
    opened = intake.create(store, Submission("w", graph, token="t"))
    assert opened.writer is not None
    facts = [*opened.first, status_fact(WorkflowStatus.PENDING)]
    opened.writer.commit([fact.at(n, 0.0) for n, fact in enumerate(facts, start=1)])
    assert intake.cancel_at_rest(store, "w")
    assert fold(Journal(store, "w").load()).status is WorkflowStatus.CANCELED


def test_a_cancel_writes_nothing_of_a_workflow_whose_delete_was_interrupted() -> None:
    store = MemoryStore()
    with pytest.raises(WorkflowNotFoundError):
        intake.cancel_at_rest(store, "w")
    assert not store.content
