"""Short attempts share workers, and nobody can tell: not by results, failures, retries or what is stopped."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rayflow import workflow
from rayflow.core.records import Kind, Record
from rayflow.reader import open_root
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("engine")


@ray.remote
def place(number: int) -> str:
    """The Ray task in which it runs."""
    return str(ray.get_runtime_context().get_task_id())


@ray.remote
def together(*values: Any) -> list[Any]:
    return list(values)


@ray.remote(max_retries=2)
def falls(number: int, folder: str, times: int) -> int:
    """Number 30 takes its process along, ``times`` times."""
    with Path(folder, str(number)).open("a") as file:
        file.write(f"{os.getpid()}\n")
    if number == 30 and len(Path(folder, "30").read_text().splitlines()) <= times:
        os._exit(1)
    return number


@ray.remote
def dawdles(seconds: float, number: int) -> float:
    time.sleep(seconds)
    return time.time()


@ray.remote
def meets(number: int, folder: str) -> int:
    """Number 0 waits for the last one."""
    Path(folder, str(number)).touch()
    if number == 0:
        until(Path(folder, "39").exists)
    return number


@ray.remote
def outlasts(number: int, folder: str, last: int) -> int:
    """Number 0 takes as long as all others together."""
    if number == 0:
        until(lambda: len(list(Path(folder).iterdir())) == last - 1)
    else:
        Path(folder, str(number)).touch()
    return number


@ray.remote
def large(number: int) -> np.ndarray[Any, Any]:
    return np.full(200_000, number)


@ray.remote
def total(*values: np.ndarray[Any, Any]) -> int:
    return int(sum(value.sum() for value in values))


def records(root: str, workflow_id: str) -> list[Record]:
    found: list[Record] = open_root(root).records(workflow_id, None).records
    return found


def failures(root: str, workflow_id: str) -> Counter[str]:
    found = records(root, workflow_id)
    return Counter(str(r.task_id) for r in found if r.kind == Kind.FAILED)


def test_short_tasks_share_ray_tasks() -> None:
    workflow.run(place.bind(0))  # so that it is known to be short
    places = workflow.run(together.bind(*[place.bind(n) for n in range(200)]))
    assert len(places) == 200
    assert len(set(places)) < 50


def test_a_task_may_ask_for_a_worker_of_its_own() -> None:
    own = place.options(**workflow.options(bundle=False))
    places = workflow.run(together.bind(*[own.bind(n) for n in range(20)]))
    assert len(set(places)) == 20


@pytest.mark.parametrize(
    "options", [{"max_retries": 0}, {"resources": {"node:__internal_head__": 0.001}}]
)
def test_what_must_not_run_twice_or_needs_more_than_a_cpu_has_a_worker_of_its_own(
    options: dict[str, Any],
) -> None:
    own = place.options(**options)
    places = workflow.run(together.bind(*[own.bind(n) for n in range(10)]))
    assert len(set(places)) == 10


@pytest.mark.parametrize("value", ["yes", 1])
def test_the_option_is_a_switch(value: Any) -> None:
    with pytest.raises(ValueError, match="bundle"):
        workflow.options(bundle=value)


def test_a_process_that_dies_costs_the_attempt_that_ran_and_no_other(
    engine: str, tmp_path: Path
) -> None:
    dag = together.bind(*[falls.bind(n, str(tmp_path), 2) for n in range(60)])
    assert workflow.run(dag, workflow_id="falls") == list(range(60))
    assert sum(failures(engine, "falls").values()) == 2
    assert len(failures(engine, "falls")) == 1


def test_the_budget_of_one_that_always_takes_its_process_along_is_its_own(
    engine: str, tmp_path: Path
) -> None:
    dag = together.bind(*[falls.bind(n, str(tmp_path), 9) for n in range(60)])
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="falls for good")
    assert list(failures(engine, "falls for good").values()) == [3]
    assert workflow.get_status("falls for good") == workflow.RESUMABLE


def test_what_waits_behind_one_that_takes_long_runs_elsewhere(tmp_path: Path) -> None:
    folders = [tmp_path / "warm", tmp_path / "here"]
    for folder, last in zip(folders, (20, 60), strict=True):
        folder.mkdir()
        others = range(1, last)
        first = [] if folder.name == "warm" else [outlasts.bind(0, str(folder), last)]
        dag = together.bind(*first, *[outlasts.bind(n, str(folder), last) for n in others])
        assert workflow.run(dag) == [0, *others][1 - len(first) :]


def test_one_that_waits_for_another_of_its_bundle_does_not_wait_for_ever(tmp_path: Path) -> None:
    (tmp_path / "warm").mkdir()
    workflow.run(together.bind(*[meets.bind(n, str(tmp_path / "warm")) for n in range(39, 0, -1)]))
    (tmp_path / "here").mkdir()
    dag = together.bind(*[meets.bind(n, str(tmp_path / "here")) for n in range(40)])
    assert workflow.run(dag) == list(range(40))


def test_stopping_one_workflow_costs_others_nothing(engine: str) -> None:
    workflow.run(together.bind(*[dawdles.bind(0.0, n) for n in range(20)]))
    slow: list[Any] = [dawdles.bind(600.0, n) for n in range(3)]
    workflow.run_async(together.bind(*slow), workflow_id="to be stopped")
    others = [
        workflow.run_async(
            together.bind(*[dawdles.bind(0.01, n) for n in range(40)]), workflow_id=f"other {i}"
        )
        for i in range(3)
    ]
    until(lambda: any(r.kind == Kind.STARTED for r in records(engine, "to be stopped")))
    workflow.cancel("to be stopped")
    assert [len(value) for value in ray.get(others)] == [40, 40, 40]
    assert not sum((failures(engine, f"other {i}") for i in range(3)), Counter())
    assert workflow.get_status("to be stopped") == workflow.CANCELED


def test_large_values_come_out_of_bundles_too() -> None:
    assert workflow.run(total.bind(*[large.bind(n) for n in range(12)])) == 200_000 * sum(range(12))


def test_a_chain_keeps_its_worker() -> None:
    node = together.bind(place.bind(0))
    for number in range(30):
        node = follows.bind(node, number)
    places = workflow.run(node)
    assert len(places) == 31
    assert len(set(places)) < 15


@ray.remote
def follows(before: list[str], number: int) -> list[str]:
    return [*before, str(ray.get_runtime_context().get_task_id())]


@ray.remote
def takes_signals(number: int) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return number


def test_a_body_that_takes_the_signals_of_its_process_does_not_keep_others_from_hearing(
    tmp_path: Path,
) -> None:
    workflow.run(together.bind(*[takes_signals.bind(n) for n in range(30)]))
    workflow.run_async(sleeps.bind(str(tmp_path / "ledger")), workflow_id="hears")
    until((tmp_path / "ledger").exists)
    workflow.cancel("hears")
    assert (tmp_path / "ledger").read_text() == "began, heard"


@ray.remote
def sleeps(ledger: str) -> None:
    Path(ledger).write_text("began, ")
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        Path(ledger).write_text("began, heard")
        raise
