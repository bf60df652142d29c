"""Running DAGs: values, ids, arguments, options."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.dag import InputNode

from rayflow import workflow
from rayflow.runtime.connection import Reach
from tests.waiting import content

pytestmark = pytest.mark.usefixtures("engine")


@ray.remote
def add(left: int, right: int) -> int:
    return left + right


@ray.remote
def increment(value: int) -> int:
    return value + 1


@ray.remote
def total(*values: int) -> int:
    return sum(values)


@ray.remote
def note(ledger: str, word: str, *_: Any) -> str:
    with Path(ledger).open("a") as file:
        file.write(f"{word}\n")
    return word


def lines(ledger: Path) -> list[str]:
    return content(ledger).split()


def test_a_node_used_by_two_consumers_runs_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    shared = note.bind(str(ledger), "shared")
    both = note.bind(str(ledger), "both", shared, [shared], {"key": shared})

    assert workflow.run(both) == "both"
    assert lines(ledger) == ["shared", "both"]


def test_the_same_dag_without_an_id_is_two_workflows(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    dag = note.bind(str(ledger), "once")

    workflow.run(dag)
    workflow.run(dag)

    assert lines(ledger) == ["once", "once"]


def test_run_async_does_not_wait_for_the_tasks() -> None:
    @ray.remote
    def sleepy() -> int:
        time.sleep(5)
        return 1

    begin = time.monotonic()
    workflow.run_async(sleepy.bind(), workflow_id="sleepy")
    assert time.monotonic() - begin < 4
    workflow.cancel("sleepy")


def test_a_program_that_waits_for_a_value_makes_no_call_of_ray_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @ray.remote
    def nothing() -> None:
        return None

    monkeypatch.delattr(Reach, "output")
    assert workflow.run(add.bind(1, 2)) == 3
    assert workflow.run(nothing.bind(), workflow_id="nothing") is None
    assert workflow.resume("nothing") is None


def test_a_task_that_waits_for_a_value_lets_others_use_its_cpu() -> None:
    @ray.remote
    def outer(value: int) -> int:
        return int(workflow.run(increment.bind(value)))

    cpus = int(ray.cluster_resources()["CPU"])
    assert ray.get([outer.remote(n) for n in range(2 * cpus)]) == list(range(1, 2 * cpus + 1))


def test_running_a_finished_id_again_gives_the_stored_result(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    workflow.run(note.bind(str(ledger), "first"), workflow_id="again")

    assert workflow.run(note.bind(str(ledger), "second"), workflow_id="again") == "first"
    assert lines(ledger) == ["first"]


def test_inputs_are_taken_by_position_and_by_name() -> None:
    with InputNode() as inputs:
        dag = total.bind(inputs[0], inputs[1], add.bind(inputs.extra, 100))

    assert workflow.run(dag, 1, 20, extra=3000) == 3121


def test_a_bare_input_is_the_only_argument() -> None:
    with InputNode() as given:
        assert workflow.run(increment.bind(given), 41) == 42


def test_task_ids_count_from_the_dependency_upwards() -> None:
    inner = increment.options(**workflow.options(task_id="inc")).bind(1)
    outer = increment.options(**workflow.options(task_id="inc")).bind(inner)
    workflow.run(outer, workflow_id="numbered")

    assert workflow.get_output("numbered", task_id="inc") == 2
    assert workflow.get_output("numbered", task_id="inc_1") == 3


def test_an_id_chosen_by_hand_is_never_given_to_another_task() -> None:
    first = increment.options(**workflow.options(task_id="inc")).bind(1)
    second = increment.options(**workflow.options(task_id="inc")).bind(first)
    chosen = increment.options(**workflow.options(task_id="inc_1")).bind(second)
    workflow.run(chosen, workflow_id="by-hand")

    values = [workflow.get_output("by-hand", task_id=name) for name in ("inc", "inc_2", "inc_1")]
    assert values == [2, 3, 4]


def test_ids_are_the_same_after_a_retry_and_when_the_workflow_is_run_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    child = increment.options(**workflow.options(task_id="child"))

    @workflow.options(task_id="parent")
    @ray.remote(max_retries=1, retry_exceptions=True)
    def parent() -> Any:
        sub = child.bind(child.bind(1))
        if note._function(str(ledger), "attempt") and len(lines(ledger)) == 1:
            raise RuntimeError("the first attempt fails after it has built its graph")
        return workflow.continuation(sub)

    for _ in range(2):
        assert workflow.run(parent.bind(), workflow_id="same-ids") == 3
    assert lines(ledger) == ["attempt"] * 2
    assert workflow.get_output("same-ids", task_id="child") == 2
    assert workflow.get_output("same-ids", task_id="child_1") == 3
    with pytest.raises(ValueError, match="child_2"):
        workflow.get_output("same-ids", task_id="child_2")


def test_outputs_inside_containers_arrive_as_references() -> None:
    @ray.remote
    def look(direct: int, nested: list[Any]) -> tuple[str, int]:
        return type(nested[0]).__name__, direct + ray.get(nested[0])

    one = increment.bind(0)
    assert workflow.run(look.bind(one, [one])) == ("ObjectRef", 2)


def test_references_in_arguments_and_results_keep_their_level() -> None:
    @ray.remote
    def reveal(value: Any) -> Any:
        return [type(value).__name__, ray.get(value)]

    @ray.remote
    def hide(value: int) -> Any:
        return ray.put(value)

    assert workflow.run(add.bind(ray.put(1), 2)) == 3
    assert workflow.run(reveal.bind(hide.bind(7))) == ["ObjectRef", 7]


def test_a_continuation_replaces_the_task() -> None:
    @ray.remote
    def countdown(left: int) -> Any:
        return workflow.continuation(countdown.bind(left - 1)) if left else "liftoff"

    options = workflow.options(task_id="start")
    dag = countdown.options(**options).bind(30)
    assert workflow.run(dag, workflow_id="countdown") == "liftoff"
    assert workflow.get_output("countdown", task_id="start") == "liftoff"


def test_every_link_of_a_chain_of_continuations_has_the_last_value() -> None:
    @ray.remote
    def one() -> int:
        return 1

    @ray.remote
    def link(left: int, _: int) -> Any:
        step = workflow.options(task_id="link")
        return link.options(**step).bind(left - 1, one.bind()) if left else "end"

    dag = link.options(**workflow.options(task_id="link")).bind(100, one.bind())
    ref = workflow.run_async(dag, workflow_id="links")
    assert workflow.get_output("links", task_id="link_40") == "end"
    assert ray.get(ref) == "end"
    assert workflow.get_output("links", task_id="link_41") == "end"
    one_id = f"{__name__}.{one._function.__qualname__}_7".replace("<", "").replace(">", "")
    assert workflow.get_output("links", task_id=one_id) == 1
    assert workflow.get_metadata("links", "link_41")["name"] == "link"


def test_large_arrays_flow_without_a_copy_in_the_journal(engine: str) -> None:
    @ray.remote
    def make() -> Any:
        return np.arange(1_000_000)

    @ray.remote
    def add_up(values: Any) -> int:
        return int(values.sum())

    made = make.options(**workflow.options(task_id="make")).bind()
    assert workflow.run(add_up.bind(made), workflow_id="arrays") == 499999500000
    assert workflow.get_output("arrays", task_id="make").shape == (1_000_000,)
    journals = list(Path(engine).glob("workflows/*/arrays/journal/*"))
    assert sum(journal.stat().st_size for journal in journals) < 50_000


def test_a_chain_of_five_thousand_tasks_runs() -> None:
    chain: Any = 0
    for _ in range(5000):
        chain = increment.bind(chain)

    assert workflow.run(chain) == 5000


def test_a_fan_out_of_five_thousand_tasks_runs() -> None:
    assert workflow.run(total.bind(*[increment.bind(n) for n in range(5000)])) == 12_502_500


def test_a_workflow_can_be_started_from_a_task_of_another() -> None:
    @ray.remote
    def outer() -> int:
        value: int = workflow.run(increment.bind(1), workflow_id="inner-of-outer")
        return value + 1

    assert workflow.run(outer.bind()) == 3
    assert workflow.get_status("inner-of-outer") == workflow.SUCCESSFUL


def test_options_of_ray_are_honoured() -> None:
    @ray.remote(num_cpus=3)
    def reserved() -> float:
        resources: dict[str, float] = ray.get_runtime_context().get_assigned_resources()
        return resources["CPU"]

    assert workflow.run(reserved.bind()) == 3
    assert workflow.run(reserved.options(num_cpus=2).bind()) == 2
