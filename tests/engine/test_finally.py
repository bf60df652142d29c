"""``finally_`` tasks on a real Ray: after every kind of end, and across the death of the engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.core.records import Kind
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store
from tests.crash.ledger import assert_nothing_recorded_ran_again, executions, note
from tests.crash.test_kills import engine_pid, has_run
from tests.waiting import PATIENCE, until


@ray.remote
def step(ledger: str, name: str, *values: Any) -> int:
    note(ledger, name)
    return 1 + sum(values)


@ray.remote
def fail(ledger: str, name: str, *values: Any) -> int:
    note(ledger, name)
    raise ValueError(f"{name} does not work")


@ray.remote
def hang(ledger: str, name: str, flag: str) -> int:
    note(ledger, name)
    while not Path(flag).exists():
        time.sleep(0.02)
    return 1


def named(function: Any, name: str, finally_: Any = None, **more: Any) -> Any:
    """A remote function whose task is called ``name``."""
    chosen = {"task_id": name, **({"finally_": finally_} if finally_ is not None else {}), **more}
    return function.options(**workflow.options(**chosen))


def words(ledger: Path) -> list[str]:
    return [line.split()[0] for line in ledger.read_text().splitlines()]


def test_after_success_they_run_in_reverse_order_with_values_of_the_workflow(
    engine: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    note_of = str(ledger)
    first = named(step, "first").bind(note_of, "first")
    release = named(step, "release").bind(note_of, "release", first)
    second = named(step, "second", release).bind(note_of, "second", first)
    close = named(step, "close").bind(note_of, "close")
    third = named(step, "third", close).bind(note_of, "third", second)
    assert workflow.run(third, workflow_id="finally-success") == 3
    # They were done before anybody was told of the end
    assert words(ledger) == ["first", "second", "third", "close", "release"]
    assert workflow.get_output("finally-success", task_id="release") == 2
    assert workflow.get_status("finally-success") == workflow.SUCCESSFUL


def test_after_a_failure_the_error_stays_and_what_could_not_start_has_nothing_to_clean(
    engine: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    note_of = str(ledger)
    outer = named(step, "of-failed").bind(note_of, "of-failed")
    failed = named(fail, "failed", outer).bind(note_of, "failed")
    never = named(step, "of-never").bind(note_of, "of-never")
    root = named(step, "never", never).bind(note_of, "never", failed)
    with pytest.raises(workflow.WorkflowExecutionError, match="failed does not work"):
        workflow.run(root, workflow_id="finally-failure")
    assert words(ledger) == ["failed", "of-failed"]
    # When it is resumed, they run again at the new end
    with pytest.raises(workflow.WorkflowExecutionError, match="failed does not work"):
        workflow.resume("finally-failure")
    assert words(ledger) == ["failed", "of-failed"] * 2


def test_one_that_fails_after_success_fails_the_workflow_and_the_others_run(
    engine: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    note_of = str(ledger)
    first = named(step, "first", named(step, "last").bind(note_of, "last")).bind(note_of, "first")
    broken = named(fail, "broken").bind(note_of, "broken")
    root = named(step, "root", broken).bind(note_of, "root", first)
    with pytest.raises(workflow.WorkflowExecutionError, match="broken does not work"):
        workflow.run(root, workflow_id="finally-broken")
    assert words(ledger) == ["first", "root", "broken", "last"]
    assert workflow.get_status("finally-broken") == workflow.FAILED
    assert workflow.get_output("finally-broken", task_id="root") == 2


def test_a_cancel_waits_for_them(engine: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    cleanup = named(step, "cleanup").bind(str(ledger), "cleanup")
    root = named(hang, "hangs", cleanup).bind(str(ledger), "hangs", str(tmp_path / "never"))
    workflow.run_async(root, workflow_id="finally-cancel")
    until(lambda: has_run(ledger, "hangs"))
    workflow.cancel("finally-cancel")
    assert words(ledger) == ["hangs", "cleanup"]
    assert workflow.get_status("finally-cancel") == workflow.CANCELED


def test_a_suspended_workflow_runs_them_when_it_is_canceled(engine: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    cleanup = named(step, "cleanup").bind(str(ledger), "cleanup")
    root = named(hang, "hangs", cleanup).bind(str(ledger), "hangs", str(tmp_path / "never"))
    workflow.run_async(root, workflow_id="finally-suspend")
    until(lambda: has_run(ledger, "hangs"))
    workflow.suspend("finally-suspend")
    assert words(ledger) == ["hangs"]
    workflow.cancel("finally-suspend")
    assert words(ledger) == ["hangs", "cleanup"]
    assert workflow.get_status("finally-suspend") == workflow.CANCELED


def test_tasks_of_a_continuation_may_have_them_too(engine: str, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")

    @ray.remote
    def expand() -> Any:
        cleanup = named(step, "cleanup").bind(ledger, "cleanup")
        return workflow.continuation(named(step, "inner", cleanup).bind(ledger, "inner"))

    root = named(step, "root").bind(ledger, "root", expand.bind())
    assert workflow.run(root, workflow_id="finally-continued") == 2
    assert words(Path(ledger)) == ["inner", "root", "cleanup"]


def test_the_engine_is_killed_while_one_runs_and_the_rest_is_done_once(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, ledger, flag = own_engine(), tmp_path / "ledger", tmp_path / "flag"
    note_of = str(ledger)
    last = named(step, "last").bind(note_of, "last")
    first = named(step, "first", last).bind(note_of, "first")
    slow = named(hang, "slow").bind(note_of, "slow", str(flag))
    middle = named(step, "middle", slow).bind(note_of, "middle", first)
    quick = named(step, "quick").bind(note_of, "quick")
    end = named(step, "end", quick).bind(note_of, "end", middle)
    ref = workflow.run_async(end, workflow_id="finally-killed")
    until(lambda: has_run(ledger, "slow"))
    # When the engine dies in the middle of them
    dead = engine_pid(root)
    os.kill(dead, signal.SIGKILL)
    until(lambda: engine_pid(root) != dead)
    flag.touch()
    # Then what was recorded is not repeated, and the others are done
    assert ray.get(ref, timeout=PATIENCE) == 3
    assert_nothing_recorded_ran_again(root, "finally-killed", ledger)
    assert executions(ledger)["quick"] == executions(ledger)["last"] == 1
    records = Journal(open_store(root), "finally-killed").load()
    done = [record.task_id for record in records if record.kind == Kind.SUCCEEDED]
    assert done == ["first", "middle", "end", "quick", "slow", "last"]
