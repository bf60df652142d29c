"""Nodes that die with their tasks running, and an engine that only seemed dead."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO

import psutil

from rayflow.core.records import Kind
from rayflow.reader import open_root
from tests.crash.clusters import OwnCluster, descendants
from tests.crash.ledger import assert_nothing_recorded_ran_again, executions
from tests.crash.program import SAYS
from tests.crash.test_kills import engine_pid, has_run, held
from tests.waiting import until

VALUE = str(9 * 6 + 1)


def line(stream: IO[str] | None) -> str:
    """The next thing that a program says; Ray prints, too."""
    assert stream is not None
    return next(said.removeprefix(SAYS).strip() for said in stream if said.startswith(SAYS))


def running_on(node: int, ledger: Path) -> set[str]:
    """The tasks of the fan-out, which is held, that processes of ``node`` have begun."""
    if not ledger.exists():
        return set()
    begun = [words for row in ledger.read_text().splitlines() if (words := row.split())]
    pids = {process.pid for process in descendants(node)}
    return {task for task, _, pid in begun if task.startswith("wide") and int(pid) in pids}


def test_tasks_of_a_node_that_dies_are_tried_again_on_another_node(tmp_path: Path) -> None:
    root, ledger = str(tmp_path / "root"), tmp_path / "ledger"
    with OwnCluster(cpus=1) as cluster:
        second = cluster.add_node(cpus=4)
        held(ledger).touch()
        with cluster.program("tests.crash.program", "start", root, str(ledger)) as program:
            assert line(program.stdout) == "started"
            until(lambda: bool(running_on(second.pid, ledger)))
            victims = {process.pid for process in descendants(second.pid)}
            lost = running_on(second.pid, ledger)
            cluster.kill_node(second)
            until(lambda: not [pid for pid in victims if psutil.pid_exists(pid)])
            held(ledger).unlink()
            assert line(program.stdout) == VALUE

    records = open_root(root).records("moved", None, limit=10**9).records
    failures = [r for r in records if r.kind == Kind.FAILED]
    # The engine may have died with the node: then its attempts are not failures, they run again.
    assert all(r.data["cause"] == "system" and r.data["next"] == "retry" for r in failures)
    assert all(executions(ledger)[task] >= 2 for task in lost)
    assert_nothing_recorded_ran_again(root, "moved", ledger)


def test_large_values_that_are_lost_with_their_node_are_read_or_computed_again(
    tmp_path: Path,
) -> None:
    root, ledger, flag = str(tmp_path / "root"), tmp_path / "ledger", tmp_path / "flag"
    ledger.touch()
    with OwnCluster(cpus=1) as cluster:
        arguments = ("tests.crash.lost_program", root, str(ledger), str(flag))
        with cluster.program(*arguments) as program:
            assert line(program.stdout) == "ready"  # so its engine is on the head
            second = cluster.add_node(cpus=4)
            assert program.stdin is not None
            program.stdin.write("go\n")
            program.stdin.flush()
            until(lambda: len(executions(ledger)) == 10 and _is_recorded(root, "stored", 5))
            until(lambda: _is_recorded(root, "not", 5))
            cluster.kill_node(second)
            cluster.add_node(cpus=4)
            flag.touch()
            assert line(program.stdout) == line(program.stdout) == str([200_000] * 5)

    ran = executions(ledger)
    assert [ran[f"stored{n}"] for n in range(5)] == [1] * 5
    assert all(ran[f"not{n}"] >= 2 for n in range(5))


def _is_recorded(root: str, workflow_id: str, count: int) -> bool:
    """Whether so many tasks of a workflow have their values."""
    records = open_root(root).records(workflow_id, None, limit=10**9).records
    return sum(r.kind == Kind.SUCCEEDED for r in records) == count


def test_an_engine_that_was_stopped_and_goes_on_after_a_take_over_lets_go(tmp_path: Path) -> None:
    root, ledger = str(tmp_path / "root"), tmp_path / "ledger"
    with (
        OwnCluster() as first,
        first.program("tests.crash.program", "start", root, str(ledger)) as overtaken,
    ):
        assert line(overtaken.stdout) == "started"
        until(lambda: has_run(ledger, "link-2"))
        stopped = engine_pid(root)
        os.kill(stopped, signal.SIGSTOP)
        with (
            OwnCluster() as second,
            second.program("tests.crash.program", "resume", root, str(ledger)) as owner,
        ):
            assert line(owner.stdout) == "RESUMABLE"
            assert line(owner.stdout) == "resumed"
            before = ledger.read_text().count("\n")
            until(lambda: ledger.read_text().count("\n") > before)
            os.kill(stopped, signal.SIGCONT)

            assert line(overtaken.stdout).startswith("RootInUseError: Another engine took")
            assert line(overtaken.stdout) == "RootInUseError"
            assert line(owner.stdout) == VALUE
            assert engine_pid(root) in {process.pid for process in second.processes()}
        assert first.processes()
    assert not first.processes() + second.processes()
    assert_nothing_recorded_ran_again(root, "moved", ledger)
