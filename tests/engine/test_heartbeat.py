"""Signs of life on a real Ray: a hung task is found, and the next attempt goes on where it was."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from tests.engine.test_stopping import say, started, words
from tests.engine.test_timeouts import HANGS, causes


@ray.remote
def counts(ledger: str, until_row: int) -> list[Any]:
    """Counts rows; hangs at the fifth in its first attempt."""
    found = workflow.last_heartbeat()
    row = found["row"] if found else 0
    while row < until_row:
        row += 1
        workflow.heartbeat({"row": row})
        say(ledger, f"row-{row}")
        if found is None and row == 5:
            time.sleep(HANGS)
    return [found, row]


@ray.remote
def lives(seconds: float) -> str:
    """Takes long, and says all the time that it lives, in a thread of its own."""
    ends = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < ends:
            workflow.heartbeat()
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return "lived"


@ray.remote
def notes_and(how: str, ledger: str) -> Any:
    """Ends badly in its first attempt, after it has said how far it is."""
    found = workflow.last_heartbeat()
    if found is not None:
        return found
    workflow.heartbeat({"how": how})
    say(ledger, "began")
    if how == "dies":
        workflow.get_status("notes-dies")  # the engine answers in turn, so it has heard the sign
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raises":
        raise ValueError("no")
    try:
        time.sleep(HANGS)
    finally:
        workflow.heartbeat({"how": "at the very end"})
    return None


@ray.remote
def told(details: Any) -> None:
    workflow.heartbeat(details)


def test_a_hung_task_is_found_and_the_next_attempt_goes_on_where_it_was(
    engine: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    watched = counts.options(**workflow.options(heartbeat_timeout=2.0, grace=0.5))
    found, row = workflow.run(watched.bind(str(ledger), 8), workflow_id="hung")

    assert row == 8
    assert causes(engine, "hung") == [("timeout", "rayflow.errors.TaskHeartbeatError")]
    assert found == {"row": 5}
    assert words(ledger) == [f"row-{n}" for n in range(1, 9)]


def test_a_task_that_gives_signs_of_life_may_take_longer(engine: str) -> None:
    watched = lives.options(**workflow.options(heartbeat_timeout=2.0))
    assert workflow.run(watched.bind(4.5), workflow_id="lives") == "lived"
    assert causes(engine, "lives") == []


@pytest.mark.parametrize("how", ["dies", "raises"])
def test_what_a_task_said_last_reaches_its_next_attempt(
    engine: str, tmp_path: Path, how: str
) -> None:
    noting = notes_and.options(retry_exceptions=True)
    value = workflow.run(noting.bind(how, str(tmp_path / "ledger")), workflow_id=f"notes-{how}")
    assert value == {"how": how}


def test_what_a_suspended_task_said_at_the_very_end_is_there_after_the_resume(
    engine: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    started(notes_and.bind("hangs", str(ledger)), "notes-hangs", ledger)
    workflow.suspend("notes-hangs")

    assert workflow.resume("notes-hangs") == {"how": "at the very end"}


def test_a_heartbeat_needs_a_task_and_small_plain_details(engine: str) -> None:
    for call in (workflow.heartbeat, workflow.last_heartbeat):
        with pytest.raises(RuntimeError, match="inside a task"):
            call()
    for number, (bad, said) in enumerate([({1, 2}, "plain JSON"), ("x" * 20_000, "16384")]):
        with pytest.raises(workflow.WorkflowExecutionError, match=said):
            workflow.run(told.bind(bad), workflow_id=f"bad-details-{number}")
