"""Progress that is saved inside a task."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.waiting import until

SIZE = 100_000


@ray.remote
def count_up(ledger: str, steps: int, dies_at: int, waits_at: int, flag: str) -> int:
    """Counts, with some weight, from where it was; dies once by itself."""
    state = workflow.restored_state({"done": 0, "weight": b""})
    for number in range(state["done"] + 1, steps + 1):
        note(Path(ledger), f"step-{number}")
        workflow.checkpoint_state({"done": number, "weight": bytes([number]) * SIZE})
        if number == dies_at and not Path(flag + "-died").exists():
            Path(flag + "-died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == waits_at:
            until(Path(flag).exists)
    restored = workflow.restored_state()
    assert restored["weight"] == bytes([steps]) * SIZE
    return int(restored["done"])


def test_a_task_goes_on_where_it_was_whatever_is_killed(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, ledger, flag = own_engine(), tmp_path / "ledger", tmp_path / "flag"
    ledger.touch()
    dag = count_up.bind(str(ledger), 8, 2, 4, str(flag))
    workflow.run_async(dag, workflow_id="counts")
    until(lambda: executions(ledger)["step-4"] == 1)
    os.kill(engine_pid(root), signal.SIGKILL)
    until(lambda: workflow.get_metadata("counts")["status"] == "RUNNING")
    workflow.suspend("counts", force=True)
    flag.touch()
    assert workflow.resume("counts") == 8
    ran = executions(ledger)
    # A step may be repeated if its state was not recorded when the process died; no earlier one is.
    assert all(ran[f"step-{n}"] <= 2 for n in range(1, 9))
    assert [ran[f"step-{n}"] for n in (1, 2, 3)] == [1, 1, 1]
    values = [p for p in Path(root).glob("workflows/*/counts/values/*/*") if p.is_file()]
    assert len(values) <= 2  # of large states only the last is kept, and one that a crash has left


def test_progress_that_cannot_be_stored_is_an_error_and_the_one_before_it_stays(
    engine: str,
) -> None:
    @ray.remote
    def saves() -> Any:
        workflow.checkpoint_state(1)
        try:
            workflow.checkpoint_state(threading.Lock())
        except workflow.exceptions.SerializationError:
            return workflow.restored_state()
        return "stored"

    assert workflow.run(saves.bind()) == 1


def test_progress_belongs_to_a_task(engine: str) -> None:
    with pytest.raises(RuntimeError, match="inside a task"):
        workflow.checkpoint_state(1)
    with pytest.raises(RuntimeError, match="inside a task"):
        workflow.restored_state()
