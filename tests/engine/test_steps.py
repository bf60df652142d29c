"""The first generation of workflows on a real Ray: steps, options, arguments, in-place runs, waiting."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.compat import steps_api
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.engine.test_failures import attempt
from tests.waiting import until


@workflow.step
def gather(*values: Any, **named: Any) -> Any:
    return [*values, named] if named else list(values)


@workflow.step
def fresh() -> dict[str, int]:
    return {"made": 1}


@workflow.step
def are_one(pair: list[Any], other: Any, nested: dict[str, list[Any]]) -> bool:
    return pair[0] is pair[1] is other is nested["in"][0]


@workflow.step
def add(a: int, b: int) -> int:
    return a + b


@workflow.step(max_retries=2)
def flaky(counter: str, fails: int) -> int:
    count = attempt(counter)
    if count <= fails:
        raise ValueError(f"attempt {count}")
    return count


def test_workflows_anywhere_in_the_arguments_arrive_as_their_values(engine: str) -> None:
    one = add.step(1, 2)
    assert gather.step(one, [one, {"x": (one,)}], y=one).run() == [3, [3, {"x": (3,)}], {"y": 3}]


def test_a_workflow_given_several_times_is_one_object(engine: str) -> None:
    made = fresh.step()
    assert are_one.step([made, made], made, {"in": [made]}).run()


def test_references_are_resolved_at_the_top_only_and_nodes_follow_the_rule_of_ray(
    engine: str,
) -> None:
    @workflow.step
    def kinds(top: Any, inside: list[Any], dag: list[Any]) -> tuple[Any, Any, Any]:
        return top, ray.get(inside[0]), ray.get(dag[0])

    @ray.remote
    def plain() -> str:
        return "of a dag"

    dag = plain.bind()
    assert kinds.step(ray.put(1), [ray.put(2)], [dag]).run() == (1, 2, "of a dag")


def test_steps_are_numbered_from_the_outside_and_dags_from_the_inside(engine: str) -> None:
    inner = add.options(name="n", metadata={"at": "inner"}).step(1, 1)
    outer = add.options(name="n").options(metadata={"at": "outer"}).step(inner, 1)
    assert outer.run("numbered") == 3
    assert workflow.get_metadata("numbered", "n")["user_metadata"] == {"at": "outer"}
    assert workflow.get_output("numbered", task_id="n_1") == 2


def test_a_long_chain_of_steps_runs(engine: str) -> None:
    chain = add.step(0, 0)
    for _ in range(1_500):
        chain = add.options(checkpoint=False).step(chain, 1)
    assert chain.run() == 1_500


def test_options_are_inherited_and_metadata_is_merged() -> None:
    first = workflow.step(num_cpus=2, metadata={"a": 1, "b": 1}, catch_exceptions=True)(max)
    second = first.options(metadata={"b": 2}, max_retries=0, resources={"x": 1})
    call = second.step(1, 2).call
    assert call.options["metadata"] == {"a": 1, "b": 2}
    assert call.options["catch_exceptions"] is True
    expected = {"num_cpus": 2, "resources": {"x": 1}, "max_retries": 0, "retry_exceptions": False}
    assert call.ray_options == expected


def test_anything_that_can_be_called_is_a_step(engine: str) -> None:
    partial = workflow.step(functools.partial(max, 7))
    assert "__anonymous_func__" in partial.step(1)._name
    assert gather.step(partial.step(9), workflow.step(len).step([1, 2])).run() == [9, 2]


def test_exceptions_are_tried_again_and_caught(engine: str, tmp_path: Path) -> None:
    assert flaky.step(str(tmp_path / "a"), 2).run() == 3
    caught = flaky.options(catch_exceptions=True).step(str(tmp_path / "b"), 9)
    value, error = caught.run()
    assert value is None
    assert str(error) == "attempt 3"
    assert add.options(catch_exceptions=True).step(1, 1).run() == (2, None)
    with pytest.raises(workflow.WorkflowExecutionError, match="attempt 1"):
        flaky.options(max_retries=0).step(str(tmp_path / "c"), 9).run("broken-step")
    assert workflow.get_status("broken-step") == workflow.FAILED


def test_a_workflow_without_an_id_runs_anew_and_with_one_it_is_resumed(
    engine: str, tmp_path: Path
) -> None:
    counted = flaky.step(str(tmp_path / "runs"), 0)
    assert [counted.run(), counted.run()] == [1, 2]
    assert counted.run("counted", {"who": "me"}) == 3
    assert ray.get(counted.run_async("counted")) == 3
    assert workflow.get_metadata("counted")["user_metadata"] == {"who": "me"}


def test_a_dag_is_a_workflow(engine: str) -> None:
    @ray.remote
    def double(x: int) -> int:
        return 2 * x

    with ray.dag.InputNode() as x:
        dag = double.bind(double.bind(x))
    assert workflow.create(dag, 3).run("created") == 12
    assert gather.step([workflow.create(double.bind(4))]).run() == [[8]]

    @workflow.step
    def later() -> Any:
        return workflow.continuation(workflow.create(dag, 5))

    assert later.step().run() == 20
    with pytest.raises(TypeError):
        workflow.create(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot be a part"):
        gather.step(workflow.create(dag, 3)).run()


@workflow.step(allow_inplace=True)
def down(left: int, pids: list[int], deepest: int) -> Any:
    seen = [*pids, os.getpid()]
    depth = max(deepest, len(inspect.stack()))
    return down.step(left - 1, seen, depth) if left else (len(set(seen)), depth)


@workflow.step
def descend(levels: int, name: str | None = None, **options: Any) -> Any:
    first = down.options(name=name, **options) if options or name else down
    return first.step(levels, [os.getpid()], 0)


def test_steps_in_place_share_a_process_and_need_no_deeper_stack(engine: str) -> None:
    processes, depth = descend.step(30).run("in-place")
    assert processes == 1
    assert depth < 20
    named = descend.step(0, name="last").run("in-place-named")
    assert workflow.get_output("in-place-named", task_id="last") == named
    assert workflow.get_metadata("in-place-named", "last")["stats"]["end_time"] > 0


def test_steps_in_place_that_fail_are_tried_again_and_caught(engine: str, tmp_path: Path) -> None:
    @workflow.step
    def caller(counter: str, fails: int, **options: Any) -> Any:
        note(tmp_path / "calls", "caller")
        return flaky.options(allow_inplace=True, **options).step(counter, fails)

    assert caller.step(str(tmp_path / "a"), 2).run() == 3
    value, error = caller.step(str(tmp_path / "b"), 9, catch_exceptions=True).run()
    assert (value, str(error)) == (None, "attempt 3")
    assert executions(tmp_path / "calls")["caller"] == 2
    with pytest.raises(workflow.WorkflowExecutionError, match="attempt"):
        caller.options(max_retries=0).step(str(tmp_path / "c"), 9).run()


@workflow.step
def after(seconds: float, value: int) -> int:
    time.sleep(seconds)
    return value


@workflow.step
def on_flag(flag: str, value: int) -> int:
    until(Path(flag).exists)
    return value


@workflow.step
def keep(split: tuple[list[int], list[Any]], flag: str) -> Any:
    """Says what is ready, lets the rest go on, and waits for one more of it."""
    ready, rest = split
    Path(flag).touch()
    return rest_of.step(ready, workflow.wait(rest, num_returns=1))


@workflow.step
def rest_of(ready: list[int], split: tuple[list[int], list[Any]]) -> Any:
    return gather.step(ready, split[0], split[1])


def test_wait_splits_in_order_and_what_remains_can_be_waited_for_and_used(
    engine: str, tmp_path: Path
) -> None:
    flag = str(tmp_path / "flag")
    waited = workflow.wait([on_flag.step(flag, n) for n in range(2)] + [after.step(0, 2)])
    ready, more, rest = keep.step(waited, flag).run("splits")
    assert ready == [2]
    assert sorted(more + rest) == [0, 1]


def test_wait_with_too_little_time_gives_what_is_ready(engine: str, tmp_path: Path) -> None:
    flag = str(tmp_path / "flag")
    waited = workflow.wait([on_flag.step(flag, 1), after.step(0, 2)], num_returns=2, timeout=1.5)
    ready, remaining = waited.run("short-wait")
    assert ready == [2]
    assert len(remaining) == 1
    Path(flag).touch()
    with pytest.raises(ValueError, match="its own workflow"):
        gather.step(remaining).run()


def test_a_split_is_recorded_once_and_stays_so_on_another_engine(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, flag, gate = own_engine(), tmp_path / "flag", tmp_path / "gate"
    (tmp_path / "ledger").touch()

    @workflow.step
    def look(split: tuple[list[int], list[Any]], which: int) -> Any:
        note(tmp_path / "ledger", f"look-{which}")
        if which:
            until(gate.exists)
        return gather.step(split[0], len(split[1]))

    waited = workflow.wait([on_flag.step(str(flag), 1), after.step(0, 2)])
    ref = gather.step(look.step(waited, 0), look.step(waited, 1)).run_async("recorded")
    until(lambda: executions(tmp_path / "ledger")["look-1"] > 0)
    flag.touch()
    os.kill(engine_pid(root), signal.SIGKILL)
    gate.touch()
    assert workflow.get_output("recorded") == [[[2], 1], [[2], 1]]
    del ref


def test_the_management_functions_of_that_time_give_references(engine: str, tmp_path: Path) -> None:
    trip = add.options(name="sum", metadata={"k": "v"})
    ref = trip.step(1, 2).run_async("g1")
    assert ray.get(steps_api.resume("g1") if ray.get(ref) else ref) == 3
    assert ray.get(steps_api.get_output("g1")) == ray.get(steps_api.get_output("g1", "sum")) == 3
    found = steps_api.get_metadata("g1", "sum")
    assert found["step_type"] == found["step_options"]["step_type"] == "FUNCTION"
    assert found["user_metadata"] == {"k": "v"}
    assert steps_api.get_metadata("g1")["status"] == steps_api.SUCCESSFUL
    with pytest.raises(ValueError, match=r"^No such workflow_id nothing$"):
        steps_api.get_metadata("nothing")
    with pytest.raises(ValueError, match=r"^No such step_id x in workflow g1$"):
        steps_api.get_metadata("g1", "x")
    for call in (steps_api.resume, steps_api.get_output):
        with pytest.raises(ValueError, match="nothing"):
            call("nothing")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: add(1, 2), TypeError),
        (lambda: add.step(1), TypeError),
        (lambda: add.step(1, 2, 3), TypeError),
        (lambda: workflow.step(3), ValueError),
        (lambda: workflow.step(max, 3), ValueError),
        (lambda: workflow.step(max_retries=-2)(max), ValueError),
        (lambda: workflow.step(max_retries="3")(max), ValueError),
        (lambda: workflow.step(checkpoint="no")(max), ValueError),
        (lambda: workflow.step(metadata=[1])(max), ValueError),
        (lambda: add.options(name=""), ValueError),
        (lambda: add.options(num_returns=2).step(1, 2), ValueError),
        (lambda: workflow.wait(add.step(1, 2)), TypeError),
        (lambda: workflow.wait([1]), TypeError),
        (lambda: workflow.wait([add.step(1, 2)], num_returns=2), ValueError),
        (lambda: workflow.wait([add.step(1, 2)], num_returns="1"), TypeError),
    ],
)
def test_steps_that_make_no_sense_are_refused_where_they_are_written(
    make: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make()


def test_a_workflow_is_a_plan_that_cannot_be_sent(engine: str) -> None:
    @workflow.step
    def hides() -> list[Any]:
        return [add.step(1, 2)]

    with pytest.raises(ValueError, match="is a plan and no value"):
        ray.put(add.step(1, 2))
    with pytest.raises(workflow.WorkflowExecutionError, match="is a plan and no value"):
        hides.step().run()


def test_the_failure_of_steps_is_also_ray_s_system_error(engine: str) -> None:
    @workflow.step(max_retries=0)
    def refuse() -> None:
        raise ValueError("no")

    for ask in (refuse.step().run, lambda: ray.get(refuse.step().run_async())):
        with pytest.raises(ray.exceptions.RaySystemError, match="ValueError: no") as caught:
            ask()
        assert isinstance(caught.value, workflow.WorkflowExecutionError)
        assert isinstance(caught.value, ray.exceptions.RayTaskError)
