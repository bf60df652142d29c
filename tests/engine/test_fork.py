"""``workflow.fork`` on a real Ray: what runs again, what is taken over, and what its origin may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rayflow import workflow
from rayflow.workflow import exceptions
from tests.engine.test_plan_resume import options


@ray.remote
def step(folder: str, name: str, *before: Any) -> str:
    """Leave a line in ``folder``, and return everything that came before with the own name."""
    with Path(folder, name).open("a") as file:
        file.write("x")
    return "".join([*map(str, before), name])


@ray.remote(max_retries=0)
def gate(flag: str, *before: str) -> str:
    if not Path(flag).exists():
        raise RuntimeError("no flag")
    return "".join(before)


@ray.remote
def large(folder: str) -> Any:
    Path(folder, "large").write_text("x")
    return np.arange(100_000)


@ray.remote
def size_of(array: Any, ref: Any) -> int:
    return len(array) + len(ray.get(ref[0]))


@ray.remote
def continues(folder: str, flag: str) -> Any:
    with Path(folder, "continues").open("a") as file:
        file.write("x")
    inner = step.options(**options("inner")).bind(folder, "i")
    return workflow.continuation(gate.options(**options("outer")).bind(flag, inner))


@ray.remote(max_retries=0)
def saves(folder: str, flag: str) -> Any:
    before = workflow.restored_state()
    workflow.checkpoint_state("half")
    if not Path(flag).exists():
        raise RuntimeError("no flag")
    return before


def runs(folder: Path) -> dict[str, int]:
    return {file.name: len(file.read_text()) for file in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs"
    made.mkdir()
    return made


def diamond(folder: Path) -> Any:
    """d(b(a), c(a))"""

    def bind(name: str, *before: Any) -> Any:
        return step.options(**options(name)).bind(str(folder), name, *before)

    a = bind("a")
    return bind("d", bind("b", a), bind("c", a))


def test_a_fork_runs_what_the_plan_says_and_takes_over_the_rest(engine: str, folder: Path) -> None:
    assert workflow.run(diamond(folder), workflow_id="origin") == "abacd"
    plan = workflow.plan_fork("origin", from_tasks="b")
    assert (plan.runs, set(plan.reused)) == (("b", "d"), {"a", "c"})

    value = workflow.fork("origin", from_tasks="b", new_workflow_id="forked", metadata={"n": 1})
    assert value == "abacd"
    assert runs(folder) == {"a": 1, "b": 2, "c": 1, "d": 2}
    assert workflow.get_metadata("forked")["user_metadata"] == {"n": 1}
    assert workflow.get_output("forked", task_id="a") == "a"
    assert workflow.get_status("origin") == workflow.SUCCESSFUL
    with pytest.raises(exceptions.WorkflowExistsError):
        workflow.fork("origin", new_workflow_id="forked")


def test_a_fork_without_tasks_runs_what_has_not_ended_well(
    engine: str, tmp_path: Path, folder: Path
) -> None:
    flag = tmp_path / "flag"
    kept = step.options(**options("kept")).bind(str(folder), "k")
    dag = gate.options(**options("failing")).bind(str(flag), kept)
    last = step.options(**options("last")).bind(str(folder), "l", dag)
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(last, workflow_id="failed")
    plan = workflow.plan_fork("failed")
    assert (plan.runs, plan.reused) == (("failing", "last"), ("kept",))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.fork("failed")  # no flag still
    assert workflow.get_status("failed") == workflow.FAILED


def test_a_fork_borrows_large_values_and_protects_its_origin(engine: str, folder: Path) -> None:
    array = large.options(**options("large")).bind(str(folder))
    ref = [ray.put(np.zeros(200_000))]
    dag = size_of.options(**options("size")).bind(array, ref)
    assert workflow.run(dag, workflow_id="lender") == 300_000
    assert workflow.fork("lender", from_tasks=["size"], new_workflow_id="one") == 300_000
    assert workflow.fork("one", from_tasks=["size"], new_workflow_id="two") == 300_000
    for lender in ("lender", "one"):
        with pytest.raises(exceptions.WorkflowHasForksError, match=r"Fork '(one|two)' uses"):
            workflow.delete(lender)
    workflow.delete("two")
    workflow.delete("one")
    assert workflow.fork("lender", from_tasks=["size"], new_workflow_id="three") == 300_000
    workflow.delete("three")
    workflow.delete("lender")
    assert "lender" not in dict(workflow.list_all())
    assert runs(folder) == {"large": 1}


def test_a_fork_keeps_or_repeats_a_continuation(engine: str, tmp_path: Path, folder: Path) -> None:
    flag = tmp_path / "flag"
    dag = continues.options(**options("maker")).bind(str(folder), str(flag))
    last = step.options(**options("last")).bind(str(folder), "l", dag)
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(last, workflow_id="made")
    flag.touch()
    assert workflow.plan_fork("made").reused == ("maker", "inner")
    workflow.fork("made")
    assert runs(folder) == {"continues": 1, "i": 1, "l": 1}
    workflow.fork("made", from_tasks="inner")
    assert runs(folder) == {"continues": 1, "i": 2, "l": 2}
    workflow.fork("made", from_tasks="maker")
    assert runs(folder) == {"continues": 2, "i": 3, "l": 3}


def test_a_fork_sees_the_state_that_was_saved(engine: str, tmp_path: Path, folder: Path) -> None:
    flag = tmp_path / "flag"
    dag = saves.options(**options("saves")).bind(str(folder), str(flag))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="half-done")
    flag.touch()
    assert workflow.fork("half-done", new_workflow_id="other-half") == "half"
    assert workflow.fork("other-half", from_tasks="saves") is None  # it had ended well


def test_a_canceled_workflow_can_be_forked(engine: str, folder: Path) -> None:
    waiting = workflow.wait_for_signal("go", timeout=600)
    before = step.options(**options("before")).bind(str(folder), "b")
    dag = step.options(**options("after")).bind(str(folder), "a", before, waiting)
    workflow.run_async(dag, workflow_id="canceled")
    with pytest.raises(exceptions.WorkflowRunningError):
        workflow.fork_async("canceled")
    workflow.get_output("canceled", task_id="before")
    workflow.cancel("canceled")
    forked = workflow.fork_async("canceled", new_workflow_id="uncanceled")
    workflow.signal("uncanceled", "go", "!")
    assert ray.get(forked) == "b!a"
    assert runs(folder) == {"a": 1, "b": 1}


def test_finally_tasks_run_for_the_fork_too(engine: str, folder: Path) -> None:
    body = step.options(**options("body")).bind(str(folder), "body")
    end = step.options(**options("end")).bind(str(folder), "end")
    dag = step.options(**workflow.options(task_id="root", finally_=end)).bind(
        str(folder), "root", body
    )
    workflow.run(dag, workflow_id="tidy")
    workflow.fork("tidy", from_tasks="root")
    assert runs(folder) == {"body": 1, "root": 2, "end": 2}


@pytest.mark.parametrize("bad", ["nothing", ["d", "nothing"]])
def test_a_task_that_is_not_there(engine: str, folder: Path, bad: Any) -> None:
    workflow.run(diamond(folder), workflow_id="origin")
    with pytest.raises(ValueError, match="No such task_id 'nothing' in workflow 'origin'"):
        workflow.fork("origin", from_tasks=bad, new_workflow_id="never")
    with pytest.raises(ValueError, match="nothing"):
        workflow.plan_fork("origin", from_tasks=bad)
    with pytest.raises(TypeError, match="task ids"):
        workflow.fork("origin", from_tasks=[1])  # type: ignore[list-item]
    assert "never" not in dict(workflow.list_all())
    workflow.delete("origin")


def test_what_cannot_be_forked(engine: str, counter: Any) -> None:
    with pytest.raises(exceptions.WorkflowNotFoundError):
        workflow.fork("nobody")
    with pytest.raises((exceptions.WorkflowNotForkableError, exceptions.WorkflowRunningError)):
        workflow.fork("counter")
