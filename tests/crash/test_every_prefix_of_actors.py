"""A crash after every change of the storage leaves an actor whose calls end as if there had been none.

Like ``test_every_prefix.py``, for an actor with several calls: after each crash the callers repeat their
calls with the same ids, as Ray does for them, and the actor goes on.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rayflow.core.actors import CONSTRUCTOR
from rayflow.core.graph import Graph
from rayflow.core.records import Fact, Kind, WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.runtime import intake
from rayflow.runtime.executor import WorkflowRunner
from rayflow.runtime.intake import Opened, Submission, status_fact
from rayflow.runtime.lanes import Lane
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store
from rayflow.testing.actors import FakeActorSubmitter
from rayflow.testing.crash_store import CrashStore
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import FakeClock, finish, surroundings, unstored
from tests.crash.test_every_prefix import crashes
from tests.simulation.actors import BODIES, METHODS, check_states, method

ID = "crashed/again"  # as in test_every_prefix.py
CALLS: tuple[tuple[str, int, Any], ...] = (
    ("add", 5, 5),
    ("add", 2, 7),
    ("fail", 0, None),
    ("spread", 3, 4),
    ("countdown", 2, 11),
    ("remind", 0, 11),
    ("flaky", 4, 15),
    ("add", 1, 16),
)


def opened(store: Store) -> Opened:
    if not Journal(store, ID).load():
        graph = Graph((method(CONSTRUCTOR),))
        return intake.create(store, Submission(ID, graph, "t", actor={"replays": False}))
    return intake.awaken(store, ID)


def call_facts(state: WorkflowState, number: int) -> list[Fact]:
    assert state.calls is not None
    name, argument, _ = CALLS[number]
    graph = Graph((method(name, argument, max_retries=2, retry_exceptions=name == "flaky"),))
    made, _ = state.calls.facts(state, graph, f"call-{number}", ())
    return made


async def live(store: Store) -> tuple[WorkflowState, list[str]]:
    """Drive the actor, make all calls, and let it come to rest; returns what has run, too."""
    taken = opened(store)
    assert taken.writer is not None
    submitter = FakeActorSubmitter(BODIES, METHODS, seed=1)
    lane = submitter.lane = Lane(submitter)
    around = replace(surroundings(submitter, FakeClock()), submitter=lane)
    runner = WorkflowRunner(taken.state, taken.writer, around, "simulated")
    await runner.commit([*taken.first, status_fact(WorkflowStatus.RUNNING)])
    driving = asyncio.ensure_future(finish(runner.run()))
    for number in range(len(CALLS)):
        await runner.record(lambda n=number: call_facts(runner.state, n), is_alone=False)  # type: ignore[misc]
    await driving
    return runner.state, [call.task_id for call in submitter.executed]


@pytest.mark.parametrize("appends", [True, False], ids=["one file", "whole objects"])
def test_every_crash_ends_with_the_same_values_and_repeats_no_recorded_method(
    appends: bool,
) -> None:
    recorded = CrashStore(MemoryStore(appends=appends))
    asyncio.run(live(recorded))
    for crash, store in crashes(recorded):
        before = Journal(store, ID).load()
        ended = {r.task_id for r in before if r.kind in (Kind.SUCCEEDED, Kind.CONTINUED)}
        failed = {r.task_id for r in before if r.kind == Kind.FAILED and r.data["next"] == "call"}
        state, executed = asyncio.run(live(store))
        assert (crash, state.status) == (crash, WorkflowStatus.SUCCESSFUL)
        assert (crash, (ended | failed).intersection(executed)) == (crash, set())
        journal = Journal(store, ID).load()
        assert journal[: len(before)] == before
        check_states(journal, {r.task_id: r for r in journal if r.kind == Kind.TASK})
        calls = fold(journal).calls
        assert calls is not None
        assert calls.state is not None
        assert (crash, unstored(calls.state)) == (crash, 116)  # with what came later, by a timer
        assert (crash, values(journal)) == (crash, [value for *_, value in CALLS])


def values(journal: list[Any]) -> list[Any]:
    """The values of the calls; a failed one that was made again after a crash counts once."""
    state, by_id = WorkflowState(), dict[str, str]()
    for record in journal:
        state.apply(record)
        if record.kind == Kind.TASK and record.data.get("call_id"):
            by_id[record.data["call_id"]] = record.task_id
    assert state.calls is not None
    ends = [state.calls.ended[by_id[f"call-{number}"]] for number in range(len(CALLS))]
    return [None if end.value is None else unstored(end.value) for end in ends]
