"""Timers, signals and approvals on a real Ray."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.workflow import exceptions
from tests.crash.test_kills import engine_pid
from tests.waiting import until


@ray.remote
def together(*values: Any) -> list[Any]:
    return list(values)


@ray.remote
def ask_again(answer: dict[str, Any]) -> Any:
    return workflow.continuation(
        together.bind(answer["approved"], workflow.wait_for_signal("more"))
    )


def wait_of(workflow_id: str, task_id: str) -> dict[str, Any]:
    return workflow.get_metadata(workflow_id, task_id)["wait"]


def waits(workflow_id: str, task_id: str) -> Callable[[], bool]:
    """Whether a task has begun to wait, and not ended."""
    return lambda: wait_of(workflow_id, task_id)["state"] == "WAITING"


def test_signals_are_read_in_their_order_also_when_they_come_early(engine: str) -> None:
    first, second = (workflow.wait_for_signal("step", task_id=name) for name in ("one", "two"))
    dag = together.bind(first, second, workflow.wait_for_signal("other"))
    ref = workflow.run_async(dag, workflow_id="reads")

    workflow.signal("reads", "other", {"n": [1, None]}, by="ann")
    workflow.signal("reads", "step", 1)
    workflow.signal("reads", "step", 2)

    assert ray.get(ref) == [1, 2, {"n": [1, None]}]
    read = wait_of("reads", "workflow.wait_for_signal")
    assert (read["state"], read["by"]) == ("MET", "ann")
    assert read["at"] <= time.time()


def test_a_signal_sent_twice_with_one_key_is_one(engine: str) -> None:
    first, second = (workflow.wait_for_signal("pay", task_id=name) for name in ("one", "two"))
    ref = workflow.run_async(together.bind(first, second), workflow_id="keyed")
    for _ in range(3):
        workflow.signal("keyed", "pay", 10, key="a")
    workflow.signal("keyed", "pay", 20, key="b")
    assert ray.get(ref) == [10, 20]


def test_a_payload_that_does_not_fit_is_refused_and_one_that_came_early_left_out(
    engine: str,
) -> None:
    sized = workflow.wait_for_signal("size", schema=int, task_id="sized")
    gate = workflow.wait_for_signal("gate")
    ref = workflow.run_async(together.bind(then.bind(gate), sized), workflow_id="schemas")
    until(waits("schemas", "sized"))
    with pytest.raises(exceptions.InvalidPayloadError, match="is not of type 'integer'"):
        workflow.signal("schemas", "size", "large")
    for odd in (object(), float("nan"), "x" * 300_000):
        with pytest.raises(exceptions.InvalidPayloadError):
            workflow.signal("schemas", "size", odd)
    workflow.signal("schemas", "later", "not a number")
    workflow.signal("schemas", "later", 5)
    workflow.signal("schemas", "size", 3)
    workflow.signal("schemas", "gate")
    assert ray.get(ref) == [5, 3]


@ray.remote
def then(gate: None) -> Any:
    return workflow.wait_for_signal("later", schema={"type": "integer"})


def test_a_wait_that_is_too_long_has_its_default_or_fails_as_a_task_does(engine: str) -> None:
    calm = workflow.wait_for_signal("x", timeout=0.2, on_timeout=[0])
    assert workflow.run(together.bind(calm)) == [[0]]
    strict = workflow.wait_for_signal("x", timeout=0.2, task_id="strict")
    with pytest.raises(workflow.WorkflowExecutionError, match=r"SignalTimeoutError.*'x'"):
        workflow.run(strict, workflow_id="strict")
    assert workflow.get_status("strict") == workflow.FAILED
    ref = workflow.resume_async("strict")
    until(waits("strict", "strict"))
    workflow.signal("strict", "x", "in time")
    assert ray.get(ref) == "in time"


def test_the_first_answer_to_an_approval_counts_and_only_of_those_who_may_give_it(
    engine: str,
) -> None:
    asked = workflow.approval(
        "Ship it?", assignees=["ann", "bob"], schema={"type": "string"}, task_id="ship"
    )
    ref = workflow.run_async(ask_again.bind(asked), workflow_id="ships")
    until(waits("ships", "ship"))
    with pytest.raises(PermissionError, match="is not for eve to answer, but for ann, bob"):
        workflow.answer("ships", "ship", True, by="eve", payload="yes")
    with pytest.raises(exceptions.InvalidPayloadError):
        workflow.answer("ships", "ship", True, by="ann", payload=3)
    with pytest.raises(exceptions.UnknownApprovalError):
        workflow.answer("ships", "nothing", True, by="ann")
    with pytest.raises(TypeError):
        workflow.answer("ships", "ship", "yes", by="ann")  # type: ignore[arg-type]

    def answer(who: str) -> bool:
        try:
            workflow.answer("ships", "ship", who == "ann", by=who, payload="as said")
        except exceptions.AlreadyAnsweredError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(answer, ["ann", "bob"] * 4))
    assert won.count(True) == 1
    who = ["ann", "bob"][won.index(True) % 2]
    until(lambda: not waits("ships", "ship")())  # which follows from the answer, a commit later
    found = wait_of("ships", "ship")
    assert (found["state"], found["by"], found["title"]) == ("MET", who, "Ship it?")
    workflow.signal("ships", "more", 1)
    assert ray.get(ref) == [who == "ann", 1]


@pytest.mark.parametrize(("on_timeout", "approved"), [("reject", False), ("approve", True)])
def test_an_approval_that_nobody_answers_decides_itself(
    engine: str, on_timeout: str, approved: bool
) -> None:
    found = workflow.run(workflow.approval("Sure?", timeout=0.2, on_timeout=on_timeout))
    assert found == {"approved": approved, "by": None, "at": None, "answer": None}


def test_a_message_to_nobody_is_an_error(engine: str) -> None:
    workflow.run(together.bind(1), workflow_id="done")
    with pytest.raises(exceptions.WorkflowEndedError, match="SUCCESSFUL"):
        workflow.signal("done", "x")
    with pytest.raises(exceptions.WorkflowNotFoundError):
        workflow.signal("never was", "x")
    with pytest.raises(ValueError, match="has ended"):
        workflow.answer("done", "x", True)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: workflow.wait_for_signal(""), TypeError),
        (lambda: workflow.wait_for_signal("x", timeout=-1), ValueError),
        (lambda: workflow.wait_for_signal("x", timeout="1"), TypeError),
        (lambda: workflow.wait_for_signal("x", schema={"type": "nothing"}), ValueError),
        (lambda: workflow.wait_for_signal("x", on_timeout=object()), ValueError),
        (lambda: workflow.approval(3), TypeError),
        (lambda: workflow.approval("x", assignees="ann"), TypeError),
        (lambda: workflow.approval("x", assignees=[3]), TypeError),
        (lambda: workflow.approval("x", on_timeout="escalate"), ValueError),
        (lambda: workflow.sleep("long"), TypeError),
        (lambda: workflow.sleep(-1), ValueError),
        (lambda: workflow.sleep(None), TypeError),
    ],
)
def test_waits_that_make_no_sense_are_refused_where_they_are_written(
    make: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make()


def test_many_waits_hold_no_cpu_and_no_process(engine: str) -> None:
    waiting = [
        together.bind(workflow.sleep(600), workflow.wait_for_signal("x")) for _ in range(100)
    ]
    for n, dag in enumerate(waiting):
        workflow.run_async(dag, workflow_id=f"idle-{n}")
    wide = together.bind(*(workflow.wait_for_signal("go", task_id=f"s{n}") for n in range(500)))
    ref = workflow.run_async(wide, workflow_id="wide")
    until(waits("wide", "s499"))
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
    assert workflow.run(together.bind(1, workflow.sleep(0.01))) == [1, None]
    for n in range(500):
        workflow.signal("wide", "go", n)
    assert sorted(ray.get(ref)) == list(range(500))
    for n in range(100):
        workflow.cancel(f"idle-{n}")
    assert workflow.get_status("idle-99") == workflow.CANCELED


def test_waits_and_messages_survive_the_engine_and_a_suspension(
    own_engine: Callable[..., str],
) -> None:
    root = own_engine()
    begun = time.time()
    dag = together.bind(
        workflow.sleep(4), workflow.wait_for_signal("a"), workflow.wait_for_signal("b")
    )
    workflow.run_async(dag, workflow_id="lasting")
    until(waits("lasting", "workflow.wait_for_signal_1"))
    ends = wait_of("lasting", "workflow.sleep")["until"]
    assert begun + 3.9 < ends < begun + 14
    workflow.signal("lasting", "b", 2)
    os.kill(engine_pid(root), signal.SIGKILL)
    until(lambda: workflow.get_status("lasting") == workflow.RUNNING)
    assert wait_of("lasting", "workflow.sleep")["until"] == ends
    workflow.suspend("lasting")
    workflow.signal("lasting", "a", 1)  # nobody drives it: it is kept
    with pytest.raises(exceptions.InvalidPayloadError):
        workflow.signal("lasting", "a", object())
    assert workflow.resume("lasting") == [None, 1, 2]
    assert ends <= time.time()


def test_a_wait_in_finally_is_waited_for(engine: str, tmp_path: Path) -> None:
    @ray.remote
    def fail() -> None:
        raise ValueError("no")

    last = together.bind(workflow.wait_for_signal("bye", timeout=60))
    failing = fail.options(**workflow.options(finally_=last)).bind()
    ref = workflow.run_async(failing, workflow_id="cleans")
    until(waits("cleans", "workflow.wait_for_signal"))
    workflow.signal("cleans", "bye")
    with pytest.raises(workflow.WorkflowExecutionError, match="ValueError: no"):
        ray.get(ref)
