"""A crash after every change of the storage, and inside every append, ends with the same result.

Each workflow runs once on a store that remembers all changes. Then, for every prefix of them and for
several lengths of a torn last append, the storage is restored as a crash would have left it, the workflow
is taken over like after any crash, and runs to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from rayflow.core.graph import Graph
from rayflow.core.records import WorkflowStatus
from rayflow.core.state import WorkflowState, fold
from rayflow.core.tasks import TaskStatus
from rayflow.retry import Retry
from rayflow.runtime import intake
from rayflow.runtime.intake import Opened, Submission
from rayflow.runtime.waiting import Message
from rayflow.storage import layout
from rayflow.storage.journal import Journal
from rayflow.storage.store import Store
from rayflow.testing.crash_store import Change, CrashStore, StoreStopped
from rayflow.testing.memory_store import MemoryStore
from rayflow.testing.simulation import (
    Attempt,
    Body,
    FakeClock,
    FakeSubmitter,
    Hang,
    InPlace,
    mapped,
    node,
    run_workflow,
    unstored,
)

ID = "crashed/again"
both_layouts = pytest.mark.parametrize("appends", [True, False], ids=["one file", "whole objects"])


def add(attempt: Attempt) -> int:
    return (attempt.arguments or 0) + sum(attempt.inputs)


def flaky(attempt: Attempt) -> int:
    if attempt.call.attempt < 3:
        raise ValueError(f"attempt {attempt.call.attempt} fails")
    return add(attempt)


def broken(attempt: Attempt) -> int:
    raise ValueError("always")


def count_errors(attempt: Attempt) -> int:
    return sum(1 for value, error in attempt.inputs if isinstance(error, ValueError))


def countdown(attempt: Attempt) -> Any:
    left = attempt.arguments
    return Graph((node("countdown", arguments=left - 1),)) if left else 42


def hope(attempt: Attempt) -> Graph:
    """Continues as a graph in which one task fails while others run."""
    return Graph(
        (node("add", arguments=1), node("broken"), node("add", arguments=2), node("add", 0, 1, 2))
    )


def spread(attempt: Attempt) -> Graph:
    return Graph((node("add", arguments=1), node("add", arguments=2), node("add", 0, 1)))


def count_waits(attempt: Attempt) -> list[Any]:
    """The inputs, with the name of an error in the place of the last."""
    *values, (_, error) = attempt.inputs
    return [*values, type(error).__name__]


def mixed(attempt: Attempt) -> Graph:
    """A graph in which the choice of each task is the opposite of another's."""
    first = attempt.arguments
    return Graph(
        (
            node("add", arguments=1, checkpoint=first),
            node("add", 0, arguments=1, checkpoint=not first),
            node("add", 1, arguments=1, checkpoint=first),
        )
    )


def leap(attempt: Attempt) -> InPlace:
    """Three steps that run in place."""
    return InPlace(tuple(Graph((node("step", arguments=n),)) for n in range(3)), 9)


def caught_values(attempt: Attempt) -> list[Any]:
    return [value for value, error in attempt.inputs if error is None]


def each(attempt: Attempt) -> Graph:
    """Maps four numbers, two at a time; every second one fails once."""
    items = mapped("flaky", range(4), "each", 2, max_retries=3, retry_exceptions=True)
    return Graph((*items, node("add", *range(4))))


def use_split(attempt: Attempt) -> Graph:
    """Adds what is ready, and what remains when it is."""
    ((values, remaining),) = attempt.inputs
    last = replace(node("add", arguments=sum(values)), upstream=tuple(r.task_id for r in remaining))
    return Graph((last,))


BODIES = {
    body.__name__: body
    for body in (
        *(add, flaky, broken, count_errors, countdown, hope, spread, count_waits),
        *(mixed, leap, caught_values, use_split, each),
    )
}
SIGNAL = {"kind": "signal", "name": "go", "seconds": 5}

RETRY = Retry(max_attempts=3, initial=5.0, jitter=0.5).describe()

WORKFLOWS: dict[str, tuple[tuple[Any, ...], int]] = {
    "chain": ((node("add", arguments=1), node("add", 0), node("add", 1)), 1),
    "fan": (
        (*(node("add", arguments=n) for n in (1, 2, 3, 4)), node("add", 0, 1, 2, 3)),
        10,
    ),
    "retry": (
        (node("flaky", arguments=7, max_retries=3, retry_exceptions=True), node("add", 0)),
        7,
    ),
    "waiting retry": (
        (
            node("flaky", arguments=7, retry=RETRY, judge="ValueError"),
            node("add", arguments=1, checkpoint=False),
            node("flaky", 1, arguments=1, retry=RETRY),
            node("add", 0, 2),
        ),
        9,
    ),
    "caught": ((node("broken", catch_exceptions=True), node("count_errors", 0)), 1),
    "caught below": ((node("hope", catch_exceptions=True), node("count_errors", 0)), 1),
    "continuation": ((node("countdown", arguments=3), node("add", 0)), 42),
    "spread": ((node("spread"), node("add", arguments=5), node("add", 0, 1)), 8),
    "not checkpointed": (
        (node("add", arguments=1), node("add", 0, checkpoint=False), node("add", 1)),
        1,
    ),
    "async chain": (
        (
            node("add", arguments=1, checkpoint="async"),
            node("add", 0, checkpoint="async"),
            node("add", 1, checkpoint=False),
            node("add", 2, effect=True),
        ),
        1,
    ),
    "async fan": (
        (
            node("flaky", arguments=1, checkpoint="async", max_retries=3, retry_exceptions=True),
            *(node("add", 0, arguments=n, checkpoint="async") for n in (1, 2, 3)),
            node("add", 1, 2, 3, effect=True),
        ),
        9,
    ),
    "async continuation": (
        (node("spread", checkpoint="async"), node("add", 0, checkpoint="async"), node("add", 1)),
        3,
    ),
    "async caught": (
        (node("hope", catch_exceptions=True, checkpoint="async"), node("count_errors", 0)),
        1,
    ),
    "finally": (
        (
            node("add", arguments=1, checkpoint=False),
            node("add", 0),
            replace(node("add", 0, arguments=2, checkpoint="async"), finally_of=0),
            replace(node("flaky", 2, max_retries=3, retry_exceptions=True), finally_of=0),
            replace(node("spread"), finally_of=1),
        ),
        1,
    ),
    "volatile continuation": ((node("spread", checkpoint=False), node("add", 0)), 3),
    "waits": (
        (
            node("add", arguments=1),
            node("wait", 0, wait={"kind": "timer", "seconds": 5}, effect=True),
            node("wait", wait={**SIGNAL, "on_timeout": {"value": 4}}, effect=True),
            node("wait", wait=SIGNAL, catch_exceptions=True, effect=True),
            node("count_waits", 0, 1, 2, 3),
        ),
        [1, None, 4, "SignalTimeoutError"],
    ),
    "mixed checkpoints": (
        (
            node("mixed", checkpoint=False, arguments=True),
            node("mixed", checkpoint=True, arguments=False),
            node("add", 0, 1),
        ),
        6,
    ),
    "mapped": ((node("each"), node("add", 0)), 6),
    "in place": ((node("leap"), node("add", 0)), 9),
    "in place caught": ((node("leap", catch_exceptions=True), node("caught_values", 0)), [9]),
    "split": (
        (
            node("add", arguments=1),
            node("flaky", arguments=2, max_retries=3, retry_exceptions=True),
            replace(
                node("wait", wait={"kind": "tasks", "count": 1, "seconds": None}, effect=True),
                watches=(0, 1),
            ),
            node("use_split", 2),
        ),
        3,
    ),
}


def opened(store: Store, graph: Graph) -> Opened:
    """What an engine does for this workflow: accept it if nothing is durable, else take it over."""
    if not Journal(store, ID).load():
        return intake.create(store, Submission(ID, graph, token="t"))
    return intake.adopt(store, ID, resume=False)


def live(store: Store, graph: Graph) -> tuple[WorkflowState, FakeSubmitter]:
    submitter = FakeSubmitter(BODIES, seed=1)
    state = asyncio.run(run_workflow(opened(store, graph), submitter, FakeClock()))
    return state, submitter


def crashes(recorded: CrashStore) -> Iterator[tuple[str, Store]]:
    """Every state that a crash can leave: each prefix, and some lengths of each torn append."""
    for count in range(len(recorded.changes) + 1):
        yield f"after {count} changes", recorded.restore(count)
        if count < len(recorded.changes) and recorded.changes[count].kind == "append":
            length = len(recorded.changes[count].data)
            for torn in {1, 7, length // 3, length // 2, length - 8, length - 1}:
                yield f"{torn} bytes into change {count}", recorded.restore(count, torn=torn)


def settled(store: Store) -> set[str]:
    """The tasks that must not run again."""
    state = fold(Journal(store, ID).load())
    done = (TaskStatus.SUCCESSFUL, TaskStatus.CONTINUED, TaskStatus.FAILED, TaskStatus.CANCELED)
    return {t.task_id for t in state.tasks.values() if t.status in done and not t.volatile}


def assert_a_resume_ends_it(
    store: Store, before: set[str], bodies: Mapping[str, Body], expected: Any, crash: object
) -> None:
    """A resume after ``crash`` gives the result, and repeats nothing of ``before``."""
    submitter = FakeSubmitter(bodies, seed=2)
    taken = intake.adopt(store, ID, resume=True)
    state = asyncio.run(run_workflow(taken, submitter, FakeClock()))
    assert (crash, state.status) == (crash, WorkflowStatus.SUCCESSFUL)
    assert not before & {call.task_id for call in submitter.executed}
    value = state.output.value
    assert value is not None
    assert (crash, unstored(value)) == (crash, expected)


@both_layouts
@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_crash_ends_with_the_same_result_and_repeats_no_recorded_task(
    name: str, appends: bool
) -> None:
    nodes, expected = WORKFLOWS[name]
    graph = Graph(nodes, sum(n.finally_of is not None for n in nodes))
    recorded = CrashStore(MemoryStore(appends=appends))
    state, _ = live(recorded, graph)
    assert state.status is WorkflowStatus.SUCCESSFUL
    for crash, store in crashes(recorded):
        before = settled(store)
        state, submitter = live(store, graph)
        again = before & {call.task_id for call in submitter.executed}
        assert (crash, again, submitter.problems) == (crash, set(), [])
        assert (crash, state.status) == (crash, WorkflowStatus.SUCCESSFUL)
        records = Journal(store, ID).load()
        assert [record.seq for record in records] == list(range(1, len(records) + 1))
        undone = [t for t in state.tasks.values() if t.status is TaskStatus.PENDING]
        assert (crash, undone) == (crash, [])
        value = fold(records).output.value
        assert value is not None
        assert (crash, unstored(value)) == (crash, expected)


@both_layouts
def test_a_take_over_that_crashes_after_every_change_loses_nothing(appends: bool) -> None:
    # Given a workflow that crashed half-way
    graph = Graph(WORKFLOWS["chain"][0])
    recorded = CrashStore(MemoryStore(appends=appends))
    live(recorded, graph)
    middle = len(recorded.changes) // 2
    # When the one who takes over crashes too, at every moment of it
    for stop_at in range(2):
        for moment in ("before", "middle", "after"):
            store = recorded.restore(middle)
            before = Journal(store, ID).load()
            dying = CrashStore(store, stop_at=stop_at, moment=moment)
            with pytest.raises(StoreStopped):
                intake.adopt(dying, ID, resume=False)
            # Then whoever comes next finds everything that was there, and ends it
            assert Journal(store, ID).load()[: len(before)] == before
            state, _ = live(store, graph)
            assert state.status is WorkflowStatus.SUCCESSFUL


@both_layouts
@pytest.mark.parametrize("name", ["chain", "fan", "waiting retry", "spread", "not checkpointed"])
def test_a_suspension_survives_every_crash_and_loses_nothing(name: str, appends: bool) -> None:
    # Given a workflow that somebody suspends when its first task's body has run
    nodes, expected = WORKFLOWS[name]
    graph = Graph(nodes)
    recorded = CrashStore(MemoryStore(appends=appends))
    submitter = FakeSubmitter(BODIES, seed=1)
    work = run_workflow(opened(recorded, graph), submitter, FakeClock(), suspend_after=1)
    assert asyncio.run(work).status is WorkflowStatus.RESUMABLE
    for crash, store in crashes(recorded):
        before = settled(store)
        suspended = fold(Journal(store, ID).load()).suspend_requested
        # When its owner crashes at any moment and another one takes over
        state, submitter = live(store, graph)
        # Then a recorded suspension stands: nothing is started
        wanted = WorkflowStatus.RESUMABLE if suspended else WorkflowStatus.SUCCESSFUL
        assert (crash, state.status) == (crash, wanted)
        assert not (suspended and submitter.executed)
        # And a resume ends it with the same result, and repeats nothing that was recorded
        assert_a_resume_ends_it(store, before, BODIES, expected, crash)


@pytest.mark.parametrize("appends", [True, False], ids=["one file", "whole objects"])
def test_a_workflow_out_of_time_is_so_after_every_crash_and_a_resume_ends_it(appends: bool) -> None:
    # Given a workflow whose second task hangs until the workflow's time is over
    graph = Graph((node("add", arguments=1), node("slow", 0), node("add", 1, arguments=2)))
    hung = {**BODIES, "slow": lambda attempt: Hang()}
    recorded = CrashStore(MemoryStore(appends=appends))

    def live_out(store: Store) -> WorkflowState:
        taken = (
            intake.adopt(store, ID, resume=False)
            if Journal(store, ID).load()
            else intake.create(store, Submission(ID, graph, token="t", workflow_timeout=60.0))
        )
        return asyncio.run(run_workflow(taken, FakeSubmitter(hung, seed=1), FakeClock()))

    live_out(recorded)
    for crash, store in crashes(recorded):
        before = settled(store)
        # When its owner crashes at any moment and another one takes over
        state = live_out(store)
        # Then it ends in the same way
        assert (crash, state.status) == (crash, WorkflowStatus.FAILED)
        assert state.error is not None
        assert state.error["type"] == "rayflow.errors.WorkflowTimeoutError"
        # And a resume gives it new time, and repeats nothing that was recorded
        assert_a_resume_ends_it(store, before, {**BODIES, "slow": add}, 3, crash)


@both_layouts
@pytest.mark.parametrize("name", ["chain", "fan", "waiting retry", "spread", "not checkpointed"])
def test_a_cancellation_survives_every_crash(name: str, appends: bool) -> None:
    graph = Graph(WORKFLOWS[name][0])
    recorded = CrashStore(MemoryStore(appends=appends))
    submitter = FakeSubmitter(BODIES, seed=1)
    work = run_workflow(opened(recorded, graph), submitter, FakeClock(), cancel_after=1)
    assert asyncio.run(work).status is WorkflowStatus.CANCELED
    for crash, store in crashes(recorded):
        canceled = fold(Journal(store, ID).load()).cancel_requested
        # When its owner crashes at any moment and another one takes over
        state, submitter = live(store, graph)
        # Then a recorded cancellation stands and starts nothing; one that was not had no effect
        wanted = WorkflowStatus.CANCELED if canceled else WorkflowStatus.SUCCESSFUL
        assert (crash, state.status) == (crash, wanted)
        assert not (canceled and submitter.executed)


@both_layouts
def test_an_end_that_was_recorded_stays_and_runs_nothing_again(appends: bool) -> None:
    # Given a workflow that fails, whose finally_ task has run
    cleaned = replace(node("add", arguments=2), finally_of=0)
    graph = Graph((node("add", arguments=1), node("broken", 0), cleaned), 1)
    recorded = CrashStore(MemoryStore(appends=appends))
    state, _ = live(recorded, graph)
    assert state.status is WorkflowStatus.FAILED
    for crash, store in crashes(recorded):
        before = settled(store)
        # When its owner crashes at any moment and another one takes over
        state, submitter = live(store, graph)
        # Then it ends in the same way, and what has been recorded is not repeated
        assert (crash, state.status) == (crash, WorkflowStatus.FAILED)
        assert (crash, before & {call.task_id for call in submitter.executed}) == (crash, set())
    # And when the whole of it was recorded, nothing runs at all
    assert not submitter.executed


@both_layouts
def test_a_message_that_was_recorded_is_read_after_every_crash(appends: bool) -> None:
    # Given a workflow at rest that is told something, and then something else while it runs
    graph = Graph(
        (
            node("add", arguments=1),
            *(node("wait", wait={"kind": "signal", "name": n}, effect=True) for n in "ab"),
            node("add", 0, 1, 2),
        )
    )
    recorded = CrashStore(MemoryStore(appends=appends))
    suspended = run_workflow(
        opened(recorded, graph), FakeSubmitter(BODIES, seed=1), FakeClock(), suspend_after=1
    )
    assert asyncio.run(suspended).status is WorkflowStatus.RESUMABLE
    for name, number in (("a", 10), ("b", 20), ("a", 30)):
        intake.tell_at_rest(recorded, ID, Message("signal", name, number, key=name))
    # When the one who records crashes at any moment, and the message is sent once more
    for crash, store in crashes(recorded):
        if not fold(Journal(store, ID).load()).suspend_requested:
            continue
        for name, number in (("a", 10), ("b", 20)):
            intake.tell_at_rest(store, ID, Message("signal", name, number, key=name))
        # Then each is read, once
        assert_a_resume_ends_it(store, settled(store), BODIES, 31, crash)


def fragile(tasks: int) -> Graph:
    """A few tasks, one that fails, and one that needs all."""
    good = [node("add", arguments=n) for n in range(tasks)]
    return Graph((*good, node("fragile", 0, arguments=5), node("add", *range(tasks + 1))))


@both_layouts
def test_a_resume_after_a_failure_survives_every_crash_and_repeats_no_recorded_task(
    appends: bool,
) -> None:
    # Given a workflow that failed, and whose cause has been mended
    graph = fragile(3)
    failed = MemoryStore(appends=appends)
    submitter = FakeSubmitter({**BODIES, "fragile": broken}, seed=1)
    state = asyncio.run(run_workflow(opened(failed, graph), submitter, FakeClock()))
    assert state.status is WorkflowStatus.FAILED
    cured = {**BODIES, "fragile": add}
    recorded = CrashStore(MemoryStore(failed.content, appends=appends))
    begun = [Change("write", key, data=data) for key, data in failed.content.items()]
    # When somebody resumes it, and the owner crashes at any moment of that
    taken = intake.adopt(recorded, ID, resume=True)
    state = asyncio.run(run_workflow(taken, FakeSubmitter(cured, seed=1), FakeClock()))
    assert state.status is WorkflowStatus.SUCCESSFUL
    recorded.changes[:0] = begun
    for count in range(len(begun), len(recorded.changes) + 1):
        for torn in (None, 1, 100):
            store = recorded.restore(count, torn=torn if count < len(recorded.changes) else None)
            before = settled(store) - {"fragile"}
            # Then another resume ends it with the same result
            assert_a_resume_ends_it(store, before, cured, 8, (count, torn))


@both_layouts
@pytest.mark.parametrize("name", ["chain", "spread"])
@pytest.mark.parametrize("last_first", [False, True], ids=["in order", "last first"])
def test_a_delete_that_crashes_at_any_object_can_be_repeated_and_frees_the_id(
    name: str, appends: bool, last_first: bool
) -> None:
    nodes, expected = WORKFLOWS[name]
    whole = MemoryStore(appends=appends)
    live(whole, Graph(nodes))
    keys = sorted(whole.content, reverse=last_first)
    for count in range(len(keys) + 1):
        left = {key: whole.content[key] for key in keys[count:]}
        # When the delete is repeated, nothing is left
        again = MemoryStore(left, appends=appends)
        again.delete(layout.workflow(ID))
        assert again.content == {}
        # And when the id is used again instead, what is left is in nobody's way
        reused = MemoryStore(left, appends=appends)
        anew = intake.create(reused, Submission(ID, Graph(nodes), token="other"))
        state = asyncio.run(run_workflow(anew, FakeSubmitter(BODIES, seed=3), FakeClock()))
        assert state.status is WorkflowStatus.SUCCESSFUL
        value = fold(Journal(reused, ID).load()).output.value
        assert value is not None
        assert (count, unstored(value)) == (count, expected)
