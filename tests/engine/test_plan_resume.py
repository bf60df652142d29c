"""``workflow.plan_resume`` on a real Ray: the plan, and that the resume keeps to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import ray

from rayflow import workflow
from tests.engine.test_failures import attempt
from tests.waiting import until


@ray.remote
def counted(counter: str, *before: int) -> int:
    return attempt(counter)


@ray.remote(max_retries=0)
def needs(flag: str, *before: int) -> int:
    if not Path(flag).exists():
        raise RuntimeError("no flag")
    return sum(before)


def options(task_id: str, **more: bool) -> workflow.options:
    return workflow.options(task_id=task_id, **more)


def test_a_resume_does_what_the_plan_says(engine: str, tmp_path: Path) -> None:
    kept, volatile, flag = (str(tmp_path / name) for name in ("kept", "volatile", "flag"))
    one = counted.options(**options("kept")).bind(kept)
    two = counted.options(**options("volatile", checkpoint=False)).bind(volatile)
    failing = needs.options(**options("failing")).bind(flag, one, two)
    last = counted.options(**options("last")).bind(str(tmp_path / "last"), failing)
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(last, workflow_id="planned")

    plan = workflow.plan_resume("planned")
    assert (plan.workflow_id, plan.status) == ("planned", workflow.FAILED)
    assert plan.reused == ("kept",)
    assert set(plan.runs) == {"volatile", "failing", "last"}
    assert plan.missing == ()
    assert not Path(tmp_path / "last").exists()

    Path(flag).touch()
    workflow.resume("planned")
    assert (Path(kept).read_text(), Path(volatile).read_text()) == ("1", "2")
    finished = workflow.plan_resume("planned")
    assert (finished.status, finished.runs) == (workflow.SUCCESSFUL, ())


def test_a_plan_names_code_that_is_gone(engine: str, tmp_path: Path) -> None:
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(needs.bind(str(tmp_path / "never")), workflow_id="without-code")
    folder = Path(engine, "functions")
    aside = folder.rename(tmp_path / "functions")
    try:
        [sentence] = workflow.plan_resume("without-code").missing
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    assert sentence.startswith("The code of task 'tests.engine.test_plan_resume.needs' is missing")


def test_a_live_workflow_has_a_plan(engine: str, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"

    @ray.remote
    def waits(before: int) -> int:
        started.touch()
        until(go.exists)
        return before

    first = counted.options(**options("first")).bind(str(tmp_path / "counter"))
    ref = workflow.run_async(
        waits.options(**options("waits")).bind(first), workflow_id="planned-live"
    )
    until(started.exists)
    plan = workflow.plan_resume("planned-live")
    go.touch()
    assert (plan.status, plan.reused, plan.runs) == (workflow.RUNNING, ("first",), ("waits",))
    assert ray.get(ref) == 1


def test_an_unknown_workflow_has_no_plan(engine: str) -> None:
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.plan_resume("nobody-knows-it")
