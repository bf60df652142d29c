"""Exceptions, retries, catching, crashes of task processes."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import api, workflow
from rayflow.errors import TaskLostError
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("engine")


@ray.remote
def flaky(counter: str, succeed_at: int) -> int:
    attempts = attempt(counter)
    if attempts < succeed_at:
        raise RuntimeError(f"attempt {attempts}")
    return attempts


@ray.remote
def crash(counter: str, succeed_at: int) -> int:
    attempts = attempt(counter)
    if attempts < succeed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return attempts


@ray.remote
def broken() -> None:
    raise ValueError("broken on purpose")


def attempt(counter: str) -> int:
    path = Path(counter)
    count = 1 + (int(path.read_text()) if path.exists() else 0)
    path.write_text(str(count))
    return count


def test_an_exception_fails_the_workflow_and_names_the_task() -> None:
    named = broken.options(**workflow.options(task_id="the_broken_one"))
    with pytest.raises(workflow.WorkflowExecutionError) as caught:
        workflow.run(named.bind(), workflow_id="fails")

    text = str(caught.value)
    assert "the_broken_one" in text
    assert "ValueError: broken on purpose" in text
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert workflow.get_status("fails") == workflow.FAILED


def test_whoever_started_a_workflow_hears_how_it_ended_even_if_it_was_quicker() -> None:
    workflow_id = api.submit(broken.bind(), workflow_id="quick")
    until(lambda: workflow.get_status(workflow_id) == workflow.FAILED)
    ref = (
        api._connector.connect().at(workflow_id).actor.output.remote(workflow_id, has_started=True)
    )
    with pytest.raises(workflow.WorkflowExecutionError, match="broken on purpose"):
        ray.get(ref)


def test_exceptions_are_not_retried_unless_asked(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(flaky.bind(str(counter), 2))
    assert counter.read_text() == "1"

    patient = flaky.options(max_retries=3, retry_exceptions=True)
    assert workflow.run(patient.bind(str(counter), 4)) == 4


def test_a_crash_of_the_process_is_retried_within_the_budget(tmp_path: Path) -> None:
    assert workflow.run(crash.bind(str(tmp_path / "three"), 3)) == 3


def test_a_workflow_whose_process_keeps_dying_is_resumable(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    with pytest.raises(workflow.WorkflowExecutionError, match="process of the task died"):
        workflow.run(crash.options(max_retries=1).bind(str(counter), 3), workflow_id="dying")

    assert workflow.get_status("dying") == workflow.RESUMABLE
    assert workflow.resume("dying") == 3


def test_a_caught_exception_is_the_value_of_the_task_and_stays_so(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    catching = flaky.options(**workflow.options(catch_exceptions=True, task_id="catch"))
    value, error = workflow.run(catching.bind(str(counter), 2), workflow_id="caught")

    assert value is None
    assert isinstance(error, RuntimeError)
    again = workflow.get_output("caught", task_id="catch")
    assert (again[0], str(again[1])) == (None, "attempt 1")
    assert workflow.run(catching.bind(str(counter), 2), workflow_id="caught")[0] is None
    assert counter.read_text() == "1"


def test_a_catching_task_catches_what_its_continuation_raises() -> None:
    @ray.remote
    def middle() -> Any:
        return workflow.continuation(broken.bind())

    value, error = workflow.run(middle.options(**workflow.options(catch_exceptions=True)).bind())
    assert value is None
    assert isinstance(error, ValueError)


def test_success_under_a_catcher_is_a_pair() -> None:
    @ray.remote
    def fine() -> int:
        return 7

    @ray.remote
    def hand_over() -> Any:
        return workflow.continuation(fine.bind())

    catching = workflow.options(catch_exceptions=True)
    assert workflow.run(fine.options(**catching).bind()) == (7, None)
    assert workflow.run(hand_over.options(**catching).bind()) == (7, None)


def test_resume_runs_only_what_has_no_checkpoint(tmp_path: Path) -> None:
    flag, counter = tmp_path / "flag", tmp_path / "counter"

    @ray.remote
    def before() -> int:
        return attempt(str(counter))

    @ray.remote
    def after(value: int) -> int:
        if not flag.exists():
            raise RuntimeError("not yet")
        return value + 10

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(after.bind(before.bind()), workflow_id="half")
    flag.touch()

    assert workflow.resume("half") == 11
    assert counter.read_text() == "1"
    assert workflow.get_status("half") == workflow.SUCCESSFUL


def test_resume_all_takes_failed_workflows_only_on_request(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    own_engine()  # on the shared root it would set going what other tests have left
    flag = tmp_path / "flag"

    @ray.remote
    def needs_flag() -> str:
        if not flag.exists():
            raise RuntimeError("no flag")
        return "done"

    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(needs_flag.bind(), workflow_id="needs-flag")
    flag.touch()

    assert "needs-flag" not in dict(workflow.resume_all())
    resumed = dict(workflow.resume_all(include_failed=True))
    assert ray.get(resumed["needs-flag"]) == "done"


def test_an_exception_that_cannot_be_pickled_is_reported_as_text() -> None:
    class Stubborn(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("not me")

    @ray.remote
    def stubborn() -> None:
        raise Stubborn("the original words")

    with pytest.raises(workflow.WorkflowExecutionError, match="the original words"):
        workflow.run(stubborn.bind())
    _, error = workflow.run(stubborn.options(**workflow.options(catch_exceptions=True)).bind())
    assert isinstance(error, TaskLostError)
    assert "the original words" in str(error)


def test_a_result_that_cannot_be_pickled_fails_with_a_sentence_and_no_retry(
    tmp_path: Path,
) -> None:
    counter = tmp_path / "counter"

    @ray.remote(max_retries=3, retry_exceptions=True)
    def generator() -> Any:
        attempt(str(counter))
        return (n for n in range(3))

    with pytest.raises(workflow.WorkflowExecutionError, match=r"(?s)SerializationError.*generator"):
        workflow.run(generator.bind())
    assert counter.read_text() == "1"


def test_checkpoint_false_recomputes_only_what_is_needed(tmp_path: Path) -> None:
    flag, counter = tmp_path / "flag", tmp_path / "counter"

    @ray.remote
    def cheap() -> int:
        return attempt(str(counter))

    @ray.remote
    def needs_flag(value: int) -> int:
        if not flag.exists():
            raise RuntimeError("no flag")
        return value

    volatile = cheap.options(**workflow.options(checkpoint=False, task_id="cheap"))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(needs_flag.bind(volatile.bind()), workflow_id="volatile")
    flag.touch()
    assert workflow.resume("volatile") == 2
    with pytest.raises(ValueError, match="no stored output"):
        workflow.get_output("volatile", task_id="cheap")


def test_an_argument_whose_module_no_worker_has_is_a_failure_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"  # what is installed is named, not taken along
    installed.mkdir()
    (installed / "only_here.py").write_text("class Thing:\n    pass\n")
    monkeypatch.syspath_prepend(str(installed))
    module = importlib.import_module("only_here")

    @ray.remote(max_retries=1)
    def take(thing: Any) -> str:
        return type(thing).__name__

    with pytest.raises(workflow.WorkflowExecutionError, match="only_here"):
        workflow.run(take.bind(module.Thing()), workflow_id="homesick")
    assert workflow.get_status("homesick") == workflow.RESUMABLE
