"""How running tasks are stopped on a real Ray: asked first, killed after their grace, never overlapping."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rayflow import api, workflow
from rayflow.core.records import Kind
from rayflow.reader import open_root
from tests.waiting import content, until

pytestmark = pytest.mark.usefixtures("engine")


def say(ledger: str, word: str) -> None:
    """A line with the process, written in one piece."""
    with Path(ledger).open("a") as file:
        file.write(f"{word} {os.getpid()}\n")


def words(ledger: Path) -> list[str]:
    return [line.split()[0] for line in content(ledger).splitlines()]


def processes(ledger: Path) -> list[int]:
    return [int(line.split()[1]) for line in content(ledger).splitlines()]


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@ray.remote
def tidy(ledger: str) -> None:
    say(ledger, "began")
    try:
        time.sleep(600)
    finally:
        say(ledger, "tidied")


@ray.remote
def tidy_loop(ledger: str) -> None:
    async def wait() -> None:
        say(ledger, "began")
        try:
            await asyncio.sleep(600)
        finally:
            say(ledger, "tidied")

    asyncio.run(wait())


@ray.remote
def stubborn(ledger: str) -> None:
    say(ledger, "began")
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            say(ledger, "refused")


@ray.remote
def busy_in_c(ledger: str) -> None:
    import ctypes

    say(ledger, "began")
    time.sleep(0.2)  # so that the engine hears of it
    ctypes.PyDLL(None).sleep(600)  # holds the interpreter: no other code of this process can run


@ray.remote
def saves_its_work(ledger: str) -> str:
    say(ledger, "began")
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        return "half of it"
    return "all of it"


@ray.remote
def after(ledger: str, value: str) -> str:
    say(ledger, f"after-{value.split(maxsplit=1)[0]}")
    return value


@ray.remote
def works_in_a_thread(ledger: str) -> str:
    def work() -> None:
        until(workflow.cancelled)
        say(ledger, "noticed")

    assert not workflow.cancelled()
    thread = threading.Thread(target=work)
    thread.start()
    say(ledger, "began")
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        thread.join()
        assert workflow.cancelled()
    return "done"


def started(dag: Any, workflow_id: str, ledger: Path) -> Any:
    ref = workflow.run_async(dag, workflow_id=workflow_id)
    until(lambda: "began" in words(ledger))
    return ref


@pytest.mark.parametrize("stop", [workflow.cancel, workflow.suspend])
def test_a_task_that_is_stopped_runs_its_finally_block_even_if_it_sleeps(
    stop: Callable[[str], None], tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    started(tidy.bind(str(ledger)), f"tidy-{stop.__name__}", ledger)
    stop(f"tidy-{stop.__name__}")

    assert words(ledger) == ["began", "tidied"]
    assert is_gone(processes(ledger)[0])


def test_a_task_with_an_event_loop_is_stopped_like_any_other(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    started(tidy_loop.bind(str(ledger)), "loop", ledger)
    workflow.cancel("loop")

    assert words(ledger) == ["began", "tidied"]
    assert is_gone(processes(ledger)[0])


@pytest.mark.parametrize(
    ("request_", "recorded", "ended"),
    [
        (api.request_cancel, Kind.CANCEL_REQUESTED, workflow.CANCELED),
        (api.request_suspend, Kind.SUSPEND_REQUESTED, workflow.RESUMABLE),
    ],
)
def test_a_stop_can_be_put_on_record_without_waiting_for_the_tasks(
    engine: str, tmp_path: Path, request_: Any, recorded: str, ended: str
) -> None:
    ledger = tmp_path / "ledger"
    patient = stubborn.options(**workflow.options(grace=3600))
    started(patient.bind(str(ledger)), "on-record", ledger)
    request_("on-record")

    kinds = [record.kind for record in open_root(engine).records("on-record", None).records]
    assert recorded in kinds
    assert Kind.TASK_CANCELED not in kinds
    assert workflow.get_status("on-record") == workflow.RUNNING
    stop = workflow.cancel if ended == workflow.CANCELED else workflow.suspend
    stop("on-record", force=True)
    assert workflow.get_status("on-record") == ended


def test_a_task_that_swallows_the_interrupt_is_killed_after_its_grace(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    impatient = stubborn.options(**workflow.options(grace=0.5))
    started(impatient.bind(str(ledger)), "stubborn", ledger)
    workflow.cancel("stubborn")

    assert words(ledger) == ["began", "refused"]
    assert is_gone(processes(ledger)[0])
    assert workflow.get_status("stubborn") == workflow.CANCELED


def test_a_forced_cancel_does_not_wait_for_the_grace_of_a_first_one(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    patient = stubborn.options(**workflow.options(grace=3600))
    started(patient.bind(str(ledger)), "patient", ledger)
    waiting = threading.Thread(target=workflow.cancel, args=("patient",))
    waiting.start()
    until(lambda: "refused" in words(ledger))
    assert waiting.is_alive()
    workflow.cancel("patient", force=True)
    waiting.join(timeout=60)

    assert not waiting.is_alive()
    assert is_gone(processes(ledger)[0])


def test_a_task_that_lets_nothing_of_its_process_run_is_killed_by_the_system(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "ledger"
    blocked = busy_in_c.options(**workflow.options(grace=0.2, timeout=3600))
    started(blocked.bind(str(ledger)), "blocked", ledger)
    workflow.cancel("blocked")

    assert is_gone(processes(ledger)[0])
    assert workflow.get_status("blocked") == workflow.CANCELED


def test_a_value_that_comes_within_the_grace_is_kept_and_starts_nothing(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    saves = saves_its_work.options(**workflow.options(task_id="saves"))
    started(after.bind(str(ledger), saves.bind(str(ledger))), "saves", ledger)
    workflow.suspend("saves")

    assert words(ledger) == ["began"]
    assert workflow.get_output("saves", task_id="saves") == "half of it"
    assert workflow.resume("saves") == "half of it"
    assert words(ledger) == ["began", "after-half"]


def test_threads_of_a_task_can_ask_whether_it_is_to_stop(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert not workflow.cancelled()
    started(works_in_a_thread.bind(str(ledger)), "threads", ledger)
    workflow.cancel("threads")

    assert words(ledger) == ["began", "noticed"]


def test_a_task_that_ray_has_not_started_is_just_cancelled(tmp_path: Path) -> None:
    nowhere = tidy.options(resources={"no-node-has-this": 1})
    ledger = tmp_path / "ledger"
    workflow.run_async(nowhere.bind(str(ledger)), workflow_id="queued-in-ray")
    workflow.cancel("queued-in-ray")

    assert workflow.get_status("queued-in-ray") == workflow.CANCELED
    assert words(ledger) == []


def test_a_body_that_raises_the_interrupt_itself_has_failed_like_with_any_exception() -> None:
    @ray.remote
    def gives_up() -> None:
        raise KeyboardInterrupt

    with pytest.raises(workflow.WorkflowExecutionError, match="KeyboardInterrupt"):
        workflow.run(gives_up.bind(), workflow_id="gives-up")
