"""Several engines on one root: for programs it is one, and the limits hold for all of them together."""

from __future__ import annotations

import logging
import os
import queue
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import api, workflow
from rayflow.reader import open_root
from rayflow.storage.partition import count_of, engine_of
from rayflow.storage.root import open_store
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.engine.actors import Counter
from tests.engine.conftest import stop_engine
from tests.engine.test_management import one, wait_for
from tests.waiting import PATIENCE, until

COUNT = 3


def ids_of(number: int, name: str, many: int = 1) -> list[str]:
    """The first ids that begin with ``name`` and belong to an engine."""
    ids = (f"{name}-{n}" for n in range(1000))
    return [i for i in ids if engine_of(i, COUNT) == number][:many]


def one_of_each(name: str) -> list[str]:
    return [i for number in range(COUNT) for i in ids_of(number, name)]


@pytest.fixture
def root(own_engine: Callable[..., str]) -> str:
    return own_engine(engines=COUNT)


def kill(root: str, number: int) -> None:
    """Kill an engine and wait until Ray has started it anew."""
    dead = engine_pid(root, number)
    os.kill(dead, signal.SIGKILL)
    until(lambda: engine_pid(root, number) != dead)


def test_a_program_sees_one_root(root: str) -> None:
    ids = one_of_each("w")
    assert ray.get([workflow.run_async(one.bind(), workflow_id=i) for i in ids]) == [1] * COUNT
    assert sorted(workflow.list_all()) == [(i, workflow.SUCCESSFUL) for i in sorted(ids)]
    assert [workflow.get_status(i) for i in ids] == [workflow.SUCCESSFUL] * COUNT
    assert [workflow.get_output(i) for i in ids] == [1] * COUNT
    assert {e.workflow_id for e in open_root(root).entries()} == set(ids)
    workflow.delete(ids[1])
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status(ids[1])
    assert workflow.run(one.bind(), workflow_id=ids[1]) == 1


def test_changes_of_all_engines_are_heard(root: str) -> None:
    cursor = api.changes(None, 0).cursor
    waiting = set(one_of_each("heard"))
    for workflow_id in waiting:
        workflow.run(one.bind(), workflow_id=workflow_id)
    while waiting:
        heard = api.changes(cursor, PATIENCE)
        assert not heard.reset
        assert heard.workflow_ids, "nobody says that they have changed"
        waiting -= set(heard.workflow_ids)
        cursor = heard.cursor


def test_children_and_parents_are_anywhere(root: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    @ray.remote
    def parent(child_id: str) -> Any:
        return workflow.child(
            wait_for.bind(str(flag), str(tmp_path / child_id)), workflow_id=child_id
        )

    [mum] = ids_of(1, "mum")
    [canceled] = ids_of(2, "canceled")
    children = one_of_each("child")
    parents = [f"{mum}.{n}" for n in range(COUNT)]
    refs = [
        workflow.run_async(parent.bind(child), workflow_id=p)
        for p, child in zip(parents, children, strict=True)
    ]
    workflow.run_async(parent.bind(f"{canceled}.child"), workflow_id=canceled)
    until(lambda: all((tmp_path / c).exists() for c in (*children, f"{canceled}.child")))
    workflow.cancel(canceled)
    until(lambda: workflow.get_status(f"{canceled}.child") == workflow.CANCELED)
    flag.touch()
    assert ray.get(refs, timeout=PATIENCE) == ["went on"] * COUNT


def test_actors_are_anywhere(root: str) -> None:
    for actor_id in one_of_each("actor"):
        actor = Counter.get_or_create(actor_id, 10)
        assert [actor.incr.run(1), workflow.get_actor(actor_id).incr.run(2)] == [11, 13]


def test_forks_of_other_engines_protect_their_origin(root: str) -> None:
    [origin] = ids_of(0, "origin")
    workflow.run(one.bind(), workflow_id=origin)
    forks = one_of_each("fork")
    for fork in forks:
        assert workflow.fork(origin, new_workflow_id=fork) == 1
    for fork in forks:
        with pytest.raises(workflow.exceptions.WorkflowHasForksError):
            workflow.delete(origin)
        workflow.delete(fork)
    workflow.delete(origin)


def test_lines_of_all_engines_are_shown(root: str, caplog: pytest.LogCaptureFixture) -> None:
    ids = one_of_each("told")
    with caplog.at_level(logging.INFO, "rayflow.workflow"):
        for workflow_id in ids:
            workflow.run(one.bind(), workflow_id=workflow_id)
        until(lambda: all(f'ended. [id="{i}"' in caplog.text for i in ids))


def test_the_queue_is_one_for_all_engines(own_engine: Callable[..., str], tmp_path: Path) -> None:
    own_engine(engines=COUNT, max_running_workflows=1, max_pending_workflows=1)
    flag, ids = tmp_path / "flag", one_of_each("queued")

    def start(workflow_id: str) -> Any:
        return workflow.run_async(
            wait_for.bind(str(flag), str(tmp_path / workflow_id)), workflow_id=workflow_id
        )

    refs = [start(ids[1]), start(ids[2])]
    until(lambda: (tmp_path / ids[1]).exists())
    for workflow_id in (*ids_of(0, "refused"), *ids_of(2, "refused")):
        with pytest.raises(queue.Full):
            start(workflow_id)
    assert workflow.get_status(ids[2]) == workflow.PENDING
    flag.touch()
    assert ray.get(refs, timeout=PATIENCE) == ["went on"] * 2
    assert ray.get(start(ids[0]), timeout=PATIENCE) == "went on"


def test_limits_are_exact_while_engines_die(own_engine: Callable[..., str], tmp_path: Path) -> None:
    most = 2
    root = own_engine(engines=COUNT, max_running_workflows=most)
    ledger = tmp_path / "ledger"

    @ray.remote
    def work(name: str) -> str:
        note(str(ledger), name)
        until(lambda: (tmp_path / f"go-{name}").exists())
        return name

    ids = [i for number in range(COUNT) for i in ids_of(number, "limited", 4)]
    refs = {i: workflow.run_async(work.bind(i), workflow_id=i) for i in ids}
    entries = open_root(root).entries

    def running() -> list[str]:
        found = [e.workflow_id for e in entries() if e.status == workflow.RUNNING]
        assert len(found) <= most, f"{found} run at once"
        return found

    victims = [0, 1, 2, 0]
    for done in range(len(ids)):
        until(lambda: len(running()) == min(most, len(ids) - done))  # noqa: B023
        chosen = running()[0]
        if victims and done % 3 == 0:
            kill(root, victims.pop())
            until(lambda: chosen in running())  # noqa: B023  (it has the slot that it had)
        (tmp_path / f"go-{chosen}").touch()
        until(lambda: chosen not in running())  # noqa: B023
    assert ray.get(list(refs.values()), timeout=PATIENCE) == list(refs)
    assert not victims


def test_the_death_of_an_engine_does_not_disturb_the_others(root: str, tmp_path: Path) -> None:
    flag, ledger = tmp_path / "flag", tmp_path / "ledger"
    ledger.touch()

    @ray.remote
    def work(name: str) -> str:
        note(str(ledger), name)
        until(flag.exists)
        return name

    ids = one_of_each("calm")
    refs = [workflow.run_async(work.bind(i), workflow_id=i) for i in ids]
    until(lambda: len(executions(ledger)) == COUNT)
    kill(root, 1)
    until(lambda: executions(ledger)[ids[1]] == 2)
    flag.touch()
    assert ray.get(refs, timeout=PATIENCE) == ids
    assert executions(ledger) == {ids[0]: 1, ids[1]: 2, ids[2]: 1}


def test_the_number_changes_with_the_cluster_and_nothing_is_lost(root: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    ended, live = one_of_each("ended"), one_of_each("live")
    for workflow_id in ended:
        workflow.run(one.bind(), workflow_id=workflow_id)
    for workflow_id in live:
        started = tmp_path / workflow_id
        workflow.run_async(wait_for.bind(str(flag), str(started)), workflow_id=workflow_id)
        until(started.exists)
    with pytest.raises(ValueError, match=f"{COUNT} engines .* cannot change to 2"):
        workflow.init(root, engines=2)
    stop_engine(root)
    flag.touch()
    for count in (2, 1, COUNT):
        workflow.init(root, engines=count)
        assert count_of(open_store(root)) == count
        assert {i for i, _ in workflow.list_all()} == {*ended, *live}
        if count == 2:
            refs = dict(workflow.resume_all())
            assert refs.keys() == set(live)
            assert ray.get(list(refs.values()), timeout=PATIENCE) == ["went on"] * COUNT
        assert {status for _, status in workflow.list_all()} == {workflow.SUCCESSFUL}
        stop_engine(root)
    workflow.init(root)  # as many as before
    assert api.connection().engines == COUNT


def test_the_environment_may_say_how_many_start(
    own_engine: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYFLOW_ENGINES", "2")
    root = own_engine()
    assert api.connection().engines == 2
    monkeypatch.setenv("RAYFLOW_ENGINES", "3")
    api.disconnect()
    workflow.init(root)  # they run already
    assert api.connection().engines == 2
    for text, problem in (("two", "not 'two'"), ("0", "from 1 to 64")):
        monkeypatch.setenv("RAYFLOW_ENGINES", text)
        api.disconnect()
        with pytest.raises(ValueError, match=f"RAYFLOW_ENGINES .*{problem}"):
            workflow.init(root)
    monkeypatch.delenv("RAYFLOW_ENGINES")


@pytest.mark.parametrize("engines", [0, -1, 65])
def test_a_number_that_makes_no_sense_is_refused(engines: int) -> None:
    with pytest.raises(ValueError, match="engines must be from 1 to 64"):
        workflow.init(engines=engines)


@pytest.mark.parametrize("engines", [True, 2.0, "2"])
def test_a_number_that_is_none_is_refused(engines: Any) -> None:
    with pytest.raises(TypeError, match="engines must be an integer"):
        workflow.init(engines=engines)
