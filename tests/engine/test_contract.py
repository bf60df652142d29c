"""Sentences of the old library's contract (``ray-workflows`` 1) that no other test is about."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rayflow import workflow
from rayflow.workflow import exceptions
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.engine.conftest import stop_engine
from tests.engine.test_failures import attempt
from tests.engine.test_management import one, wait_for
from tests.waiting import until

HERE = "tests.engine.test_contract."


@ray.remote
def fail(*inputs: Any) -> None:
    raise ValueError("on purpose")


@ray.remote
def flaky(counter: str, fails: int) -> int:
    count = attempt(counter)
    if count <= fails:
        raise ValueError(f"attempt {count}")
    return count


@ray.remote
def sleep_long(ledger: str) -> int:
    note(Path(ledger), "sleeps")
    time.sleep(60)
    return 1


@ray.remote
def fail_when(ledger: str, word: str) -> None:
    until(lambda: Path(ledger).exists() and executions(Path(ledger))[word] > 0)
    raise ValueError("beside the other")


@ray.remote
def both(*values: Any) -> list[Any]:
    return list(values)


def test_an_id_that_nobody_chose_is_random_with_the_time(engine: str) -> None:
    workflow.run(one.bind())
    pattern = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.\d+\.\d{9}"
    assert any(re.fullmatch(pattern, name) for name, _ in workflow.list_all())


def test_run_with_the_id_of_a_workflow_that_failed_was_cancelled_or_interrupted(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, counter = own_engine(), str(tmp_path / "counter")
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(flaky.bind(counter, 1), workflow_id="f", metadata={"first": 1})
    assert workflow.run(one.bind(), workflow_id="f", metadata={"second": 2}) == 2
    # The metadata is that of the submission, which a second one does not replace.
    assert workflow.get_metadata("f")["user_metadata"] == {"first": 1}

    flag = tmp_path / "flag"
    for name in "cr":
        dag = wait_for.bind(str(flag), str(tmp_path / f"started-{name}"))
        workflow.run_async(dag, workflow_id=name)
        until((tmp_path / f"started-{name}").exists)
    workflow.cancel("c")
    with pytest.raises(exceptions.WorkflowNotResumableError):
        workflow.run(one.bind(), workflow_id="c")
    stop_engine(root)
    flag.touch()
    workflow.init(root)
    assert workflow.get_metadata("r")["status"] == "RESUMABLE"
    assert workflow.run(one.bind(), workflow_id="r") == "went on"


def test_an_actor_handle_is_refused_as_argument_and_as_result(engine: str) -> None:
    @ray.remote(num_cpus=0)
    class Actor:
        pass

    @ray.remote
    def leak() -> Any:
        return [Actor.remote()]

    with pytest.raises(exceptions.SerializationError, match="actor handle"):
        workflow.run(both.bind([Actor.remote()]))
    with pytest.raises(workflow.WorkflowExecutionError, match="actor handle"):
        workflow.run(leak.bind())


def test_only_a_node_that_is_returned_by_itself_is_a_continuation(engine: str) -> None:
    @ray.remote
    def tail() -> Any:
        return type(workflow.continuation(one.bind())).__name__

    assert workflow.run(tail.bind()) == "FunctionNode"


def test_a_continuation_may_be_made_in_a_thread_of_the_task(engine: str) -> None:
    @ray.remote
    def threaded() -> Any:
        import threading

        made: list[Any] = []
        thread = threading.Thread(target=lambda: made.append(workflow.continuation(one.bind())))
        thread.start()
        thread.join()
        return made[0]

    assert workflow.run(threaded.bind(), workflow_id="threaded") == 1
    assert workflow.get_output("threaded", task_id="tests.engine.test_management.one") == 1


def test_a_crash_of_something_that_a_task_waits_for_is_the_error_of_the_task(engine: str) -> None:
    @ray.remote(max_retries=0)
    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @ray.remote
    def asks() -> None:
        ray.get(dies.remote())

    with pytest.raises(workflow.WorkflowExecutionError, match="WorkerCrashedError"):
        workflow.run(asks.bind(), workflow_id="asks")
    assert workflow.get_status("asks") == workflow.FAILED


def test_an_environment_that_cannot_be_made_is_a_failure_of_the_system(engine: str) -> None:
    broken = one.options(runtime_env={"conda": "no-such-environment"}, max_retries=0)
    with pytest.raises(workflow.WorkflowExecutionError, match="RuntimeEnvSetupError"):
        workflow.run(broken.bind(), workflow_id="no-environment")
    assert workflow.get_status("no-environment") == workflow.RESUMABLE


def test_a_resume_begins_the_budget_of_retries_anew(engine: str, tmp_path: Path) -> None:
    counter = str(tmp_path / "counter")
    dag = flaky.options(max_retries=1, retry_exceptions=True).bind(counter, 3)
    with pytest.raises(workflow.WorkflowExecutionError, match="attempt 2"):
        workflow.run(dag, workflow_id="budget")
    assert workflow.resume("budget") == 4


def test_an_error_is_caught_when_all_attempts_are_used_up(engine: str, tmp_path: Path) -> None:
    counter = str(tmp_path / "counter")
    options = {
        "max_retries": 2,
        "retry_exceptions": True,
        **workflow.options(catch_exceptions=True),
    }
    value, error = workflow.run(flaky.options(**options).bind(counter, 9))
    assert (value, str(error)) == (None, "attempt 3")


@pytest.mark.parametrize("fails", [False, True])
def test_a_caught_continuation_whose_root_says_no_gives_a_bare_value_or_the_error(
    engine: str, fails: bool
) -> None:
    @ray.remote
    def parent() -> Any:
        root = (fail if fails else one).options(**workflow.options(catch_exceptions=False))
        return workflow.continuation(root.bind())

    found = workflow.run(parent.options(**workflow.options(catch_exceptions=True)).bind())
    assert (found == 1) if not fails else (found[0] is None and "on purpose" in str(found[1]))


def test_siblings_are_gone_before_a_workflow_has_failed_and_a_resume_does_not_meet_them(
    engine: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    dag = both.bind(sleep_long.bind(str(ledger)), fail_when.bind(str(ledger), "sleeps"))
    ref = workflow.run_async(dag, workflow_id="siblings")
    waiter = workflow.get_output_async("siblings", task_id=HERE + "sleep_long")
    with pytest.raises(workflow.WorkflowExecutionError, match="beside the other") as caught:
        ray.get(ref)
    error = caught.value.error
    assert (error["type"], error["task_id"]) == ("ValueError", HERE + "fail_when")
    assert "fail_when" in error["traceback"]
    with pytest.raises(workflow.WorkflowExecutionError, match="beside the other"):
        ray.get(waiter)
    first = int(ledger.read_text().split()[2])
    assert not psutil.pid_exists(first) or psutil.Process(first).status() == psutil.STATUS_ZOMBIE
    with pytest.raises(ValueError, match="fail_when"):
        workflow.get_output("siblings", task_id=HERE + "fail_when")
    begun = time.monotonic()
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.resume("siblings")
    assert executions(ledger)["sleeps"] <= 2
    assert time.monotonic() - begun < 50  # nobody waited for what sleeps


def test_outputs_of_tasks_that_have_ended_stay_when_the_workflow_fails_or_is_cancelled(
    engine: str, tmp_path: Path
) -> None:
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(fail.bind(one.bind()), workflow_id="half")
    name = "tests.engine.test_management.one"
    assert workflow.get_output("half", task_id=name) == 1
    flag, started = str(tmp_path / "flag"), tmp_path / "started"
    ref = workflow.run_async(
        both.bind(one.bind(), wait_for.bind(flag, str(started))), workflow_id="q"
    )
    waiter = workflow.get_output_async("q", task_id=HERE + "both")
    until(started.exists)
    workflow.cancel("q")
    for waiting in (ref, waiter):
        with pytest.raises(workflow.WorkflowCancellationError) as caught:
            ray.get(waiting)
        assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert workflow.get_output("q", task_id=name) == 1


def test_a_pending_workflow_that_is_cancelled_tells_who_waits_and_gives_its_place_back(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root = own_engine(max_running_workflows=1, max_pending_workflows=1)
    flag = tmp_path / "flag"
    workflow.run_async(wait_for.bind(str(flag), str(tmp_path / "s")), workflow_id="runs")
    ref = workflow.run_async(one.bind(), workflow_id="waits")
    with pytest.raises(RuntimeError):
        workflow.resume_async("waits")
    workflow.cancel("waits")
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(ref)
    workflow.run_async(one.bind(), workflow_id="next")
    assert workflow.get_status("next") == workflow.PENDING
    until((tmp_path / "s").exists)
    killed = engine_pid(root)
    os.kill(
        killed, signal.SIGKILL
    )  # the limits are those of the engine, also of one that is restarted
    until(lambda: engine_pid(root) != killed)
    assert workflow.get_status("next") == workflow.PENDING
    with pytest.raises(ValueError, match="max_running_workflows=1"):
        workflow.init(max_running_workflows=2)
    flag.touch()
    assert workflow.get_output("next") == 1


@pytest.mark.parametrize(
    "task_id", ["a/b", "..", "__status__", "x" * 300, "ünïcode\n☃", "%2F", ".tmp-1"]
)
def test_an_odd_task_id_is_an_id_like_any_other(engine: str, task_id: str) -> None:
    @ray.remote
    def large() -> bytes:
        return b"x" * 100_000

    named = large.options(**workflow.options(task_id=task_id))
    name = f"odd-{abs(hash(task_id))}"
    assert len(workflow.run(named.bind(), workflow_id=name)) == 100_000
    assert len(workflow.get_output(name, task_id=task_id)) == 100_000
    assert workflow.get_metadata(name, task_id)["task_id"] == task_id
    (value,) = [p for p in Path(engine).glob(f"workflows/*/{name}/values/*/*") if p.is_file()]
    assert value.stat().st_size > 100_000
