"""Workflows that tasks start: their own ids, one submission, linked, cancelled and resumed with their parents."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.core.records import Kind
from rayflow.storage.journal import Journal
from rayflow.storage.root import open_store
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.waiting import until


@ray.remote
def leaf(ledger: str, name: str, flag: str = "") -> str:
    note(Path(ledger), name)
    if flag:
        until(Path(flag).exists)
    return name.upper()


@ray.remote
def fails_until(ledger: str, name: str, flag: str) -> str:
    note(Path(ledger), name)
    if not Path(flag).exists():
        raise ValueError("not yet")
    return name.upper()


@ray.remote
def join(*parts: Any) -> str:
    return "+".join(map(str, parts))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger"
    path.touch()
    return path


def test_a_parent_has_the_values_of_its_children(engine: str, ledger: Path) -> None:
    @ray.remote
    def parent() -> Any:
        first = workflow.child(leaf.bind(str(ledger), "a"), metadata={"of": "a"})
        second = workflow.child(leaf.bind(str(ledger), "b"), workflow_id="second")
        return workflow.continuation(join.bind(first, second))

    node = parent.options(**workflow.options(task_id="start")).bind()
    assert workflow.run(node, workflow_id="parent") == "A+B"
    assert workflow.get_output("parent.start.1") == "A"
    found = workflow.get_metadata("parent")
    assert found["children"] == [
        {"child": name, "task_id": "start", "waits": True, "on_cancel": "cancel"}
        for name in ("parent.start.1", "second")
    ]
    assert workflow.get_metadata("second")["parent"] == {
        "workflow_id": "parent",
        "task_id": "start",
        "waits": True,
        "on_cancel": "cancel",
    }
    assert workflow.get_metadata("parent.start.1")["user_metadata"] == {"of": "a"}
    assert workflow.get_metadata("parent", "workflow.child.wait")["task_options"]["task_type"] == (
        "CHILD"
    )


def test_a_child_that_is_not_waited_for_goes_its_own_way(
    engine: str, ledger: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"

    @ray.remote
    def parent() -> str:
        found: str = workflow.child(leaf.bind(str(ledger), "own", str(flag)), wait=False)
        return found

    child = workflow.run(parent.bind())
    assert workflow.get_status(child) == workflow.RUNNING
    flag.touch()
    assert workflow.get_output(child) == "OWN"


def test_an_attempt_that_dies_does_not_start_its_child_twice(
    engine: str, ledger: Path, tmp_path: Path
) -> None:
    @ray.remote(max_retries=2)
    def parent() -> Any:
        node = workflow.child(leaf.bind(str(ledger), "once"))
        note(ledger, "attempt")
        if executions(ledger)["attempt"] < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return node

    assert workflow.run(parent.bind(), workflow_id="dies") == "ONCE"
    assert executions(ledger) == {"attempt": 3, "once": 1}
    assert len(workflow.get_metadata("dies")["children"]) == 1


def test_a_child_that_fails_fails_its_parent_and_is_resumed_with_it(
    engine: str, ledger: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"

    @ray.remote
    def parent() -> Any:
        note(ledger, "parent")
        return workflow.child(fails_until.bind(str(ledger), "c", str(flag)), workflow_id="unlucky")

    with pytest.raises(workflow.WorkflowExecutionError, match=r"'unlucky'.*FAILED.*not yet"):
        workflow.run(parent.bind(), workflow_id="mother")
    assert workflow.get_status("unlucky") == workflow.FAILED
    flag.touch()
    assert workflow.resume("mother") == "C"
    assert executions(ledger) == {"parent": 1, "c": 2}
    assert workflow.get_status("unlucky") == workflow.SUCCESSFUL


def test_the_end_of_a_child_can_be_caught(engine: str, ledger: Path, tmp_path: Path) -> None:
    @ray.remote
    def look(outcome: tuple[Any, Exception | None]) -> Any:
        value, error = outcome
        return value if error is None else (type(error).__name__, error.status)  # type: ignore[attr-defined]

    @ray.remote
    def parent(flag: str) -> Any:
        task = fails_until.bind(str(ledger), "d", flag)
        return workflow.continuation(look.bind(workflow.child(task, catch_exceptions=True)))

    there = tmp_path / "there"
    there.touch()
    assert workflow.run(parent.bind(str(there))) == "D"
    assert workflow.run(parent.bind(str(tmp_path / "no"))) == ("ChildWorkflowError", "FAILED")


def test_children_are_cancelled_with_their_parent_unless_they_are_left_alone(
    engine: str, ledger: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"

    @ray.remote
    def parent() -> Any:
        slow = leaf.bind(str(ledger), "slow", str(flag))
        workflow.child(slow, workflow_id="left", wait=False, on_cancel="abandon")
        workflow.child(slow, workflow_id="gone", wait=False)
        return workflow.child(slow, workflow_id="waited")

    workflow.run_async(parent.bind(), workflow_id="stops")
    until(lambda: executions(ledger)["slow"] == 3)
    workflow.cancel("stops")
    until(lambda: workflow.get_status("waited") == workflow.CANCELED)
    until(lambda: workflow.get_status("gone") == workflow.CANCELED)
    assert workflow.get_status("left") == workflow.RUNNING
    flag.touch()
    assert workflow.get_output("left") == "SLOW"


def test_a_child_that_is_cancelled_or_deleted_is_an_error_of_its_parent(
    engine: str, ledger: Path, tmp_path: Path
) -> None:
    @ray.remote
    def parent(name: str) -> Any:
        return workflow.child(
            leaf.bind(str(ledger), "x", str(tmp_path / "never")), workflow_id=name
        )

    canceled = workflow.run_async(parent.bind("stopped"), workflow_id="p1")
    deleted = workflow.run_async(parent.bind("deleted"), workflow_id="p2")
    until(lambda: executions(ledger)["x"] == 2)
    workflow.cancel("stopped")
    with pytest.raises(workflow.WorkflowExecutionError, match=r"'stopped'.*CANCELED"):
        ray.get(canceled)
    workflow.suspend("deleted", force=True)
    assert workflow.get_status("p2") == workflow.RUNNING
    workflow.delete("deleted")
    with pytest.raises(workflow.WorkflowExecutionError, match=r"'deleted'.*was deleted"):
        ray.get(deleted)


def test_children_take_no_slots_from_the_parents_that_wait_for_them(
    own_engine: Callable[..., str], ledger: Path
) -> None:
    own_engine(max_running_workflows=1, max_pending_workflows=0)

    @ray.remote
    def parent(depth: int) -> Any:
        below = parent.bind(depth - 1) if depth else leaf.bind(str(ledger), "deep")
        return workflow.child(below)

    assert workflow.run(parent.bind(3)) == "DEEP"


def test_parents_and_children_survive_the_engine_and_are_resumed_together(
    own_engine: Callable[..., str], ledger: Path, tmp_path: Path
) -> None:
    root, flag = own_engine(), tmp_path / "flag"

    @ray.remote
    def parent() -> Any:
        note(ledger, "parent")
        return workflow.child(leaf.bind(str(ledger), "kid", str(flag)), workflow_id="kid")

    workflow.run_async(parent.bind(), workflow_id="mum")
    until(lambda: executions(ledger)["kid"] == 1)
    journal = Journal(open_store(root), "mum")  # the child may be quicker than its parent's outcome
    until(lambda: Kind.CONTINUED in [record.kind for record in journal.load()])
    os.kill(engine_pid(root), signal.SIGKILL)
    until(lambda: executions(ledger)["kid"] == 2)
    workflow.suspend("mum")
    workflow.suspend("kid", force=True)
    flag.touch()
    workflow.resume_async("kid")
    assert workflow.resume("mum") == "KID"
    assert executions(ledger)["parent"] == 1


def test_bad_children_are_refused(engine: str, ledger: Path) -> None:
    with pytest.raises(RuntimeError, match="inside a task"):
        workflow.child(leaf.bind(str(ledger), "a"))

    @ray.remote
    def parent(how: dict[str, Any]) -> str:
        try:
            workflow.child(leaf.bind(str(ledger), "a"), **how)
        except (TypeError, ValueError) as error:
            return type(error).__name__
        return "started"

    workflow.run(leaf.bind(str(ledger), "taken"), workflow_id="taken")
    for how, error in (
        ({"on_cancel": "maybe"}, "ValueError"),
        ({"workflow_id": "taken"}, "WorkflowExistsError"),
        ({"workflow_id": ""}, "InvalidWorkflowIdError"),
        ({"metadata": {"a": object}}, "ValueError"),
    ):
        assert workflow.run(parent.bind(how)) == error
