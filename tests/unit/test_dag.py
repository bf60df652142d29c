"""From Ray's DAG to plain values, without starting Ray and without recursion."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.dag import InputNode, MultiOutputNode
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayflow import workflow
from rayflow.core.graph import Graph, StoredValue
from rayflow.dag import Slot, translate
from rayflow.runtime.ray_options import restored
from rayflow.storage.values import decode, encode
from rayflow.testing.memory_store import MemoryStore


class MemoryEncoder:
    """Puts arguments into memory and names functions instead of storing them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.functions: list[str] = []

    def function(self, function: Callable[..., Any]) -> str:
        name = getattr(function, "__name__", repr(function))
        self.functions.append(name)
        return name

    def object_ref(self, value: Any) -> StoredValue | None:
        return None

    def arguments(self, value: Any, persistent_id: Callable[[Any], Any], task: str) -> StoredValue:
        encoded = encode(value, persistent_id=persistent_id, what=f"arguments of task '{task}'")
        return encoded.store(self.store, lambda: f"values/{task}")


@pytest.fixture(autouse=True)
def ray_stays_off() -> Any:
    yield
    assert not ray.is_initialized()


@ray.remote
def one(*values: Any, **named: Any) -> Any:
    return values, named


@ray.remote
def add(a: int, b: int) -> int:
    return a + b


@ray.remote
class Counter:
    def count(self) -> int:
        return 1


def graph(dag: Any, *args: Any, **kwargs: Any) -> Graph:
    return translate(dag, MemoryEncoder(), args=args, kwargs=kwargs)


def arguments(stored: StoredValue) -> Any:
    """What a task finds in its stored arguments; inputs of the workflow resolved."""

    def load(pid: Any) -> Any:
        kind, which = pid
        if kind != "input":
            return pid
        assert which.data is not None
        return decode(which.format, which.data)

    assert stored.data is not None
    return decode(stored.format, stored.data, persistent_load=load)


def test_dependencies_come_first_and_the_root_last() -> None:
    found = graph(add.bind(one.bind(1), add.bind(2, one.bind(3))))
    assert [(n.function, n.upstream) for n in found.nodes] == [
        ("one", ()), ("one", ()), ("add", (1,)), ("add", (0, 2)),
    ]  # fmt: skip


def test_a_chain_of_ten_thousand_needs_no_recursion() -> None:
    dag = one.bind(0)
    for _ in range(9_999):
        dag = one.bind(dag)
    found = graph(dag)
    assert len(found.nodes) == 10_000
    assert [n.upstream for n in found.nodes[1:]] == [(n,) for n in range(9_999)]


def test_a_wide_graph_keeps_the_order_of_its_inputs() -> None:
    found = graph(one.bind(*[one.bind(n) for n in range(2_000)]))
    assert found.nodes[-1].upstream == tuple(range(2_000))


def test_a_shared_node_is_one_task_however_often_it_is_used() -> None:
    shared = one.bind(1)
    found = graph(one.bind(shared, shared, [shared], add.bind(shared, 1), key=shared))
    assert [n.upstream for n in found.nodes] == [(), (0,), (0, 1)]


def test_a_node_at_the_top_level_is_a_value_and_one_inside_a_reference() -> None:
    found = graph(one.bind(one.bind(1), {"deep": [one.bind(2)]}, key=one.bind(3)))
    args, kwargs = arguments(found.nodes[-1].args)
    assert args == (Slot("task", 0), {"deep": [("task", 2)]})
    assert kwargs == {"key": Slot("task", 1)}
    assert found.nodes[-1].upstream == (0, 1, 2)


def test_options_of_ray_and_ours_are_kept_apart() -> None:
    task = add.options(num_cpus=3, max_retries=0, retry_exceptions=True).bind(1, 2)
    [made] = graph(task).nodes
    assert (made.options.max_retries, made.options.retry_exceptions) == (0, True)
    assert made.options.ray["num_cpus"] == 3
    assert "max_retries" not in made.options.ray
    assert made.name.endswith("test_dag.add")


def test_inputs_are_taken_from_the_arguments_of_run() -> None:
    with InputNode() as inp:
        dag = one.bind(inp[0], inp.name, [inp[1]])
    args, _ = arguments(graph(dag, 5, "b", name="n").nodes[0].args)
    assert args == (5, "n", ["b"])


def test_a_bare_input_is_the_single_argument_and_looks_inside_it() -> None:
    with InputNode() as inp:
        assert arguments(graph(one.bind(inp), 5).nodes[0].args) == ((5,), {})
        assert arguments(graph(one.bind([inp]), 5).nodes[0].args) == (([5],), {})
    with InputNode() as inp:
        assert arguments(graph(one.bind(inp[0], inp[1]), (7, 8)).nodes[0].args) == ((7, 8), {})
    with InputNode() as inp:
        assert arguments(graph(one.bind(inp["k"]), {"k": 9}).nodes[0].args) == ((9,), {})


@pytest.mark.parametrize("args", [(), (1, 2)])
def test_a_bare_input_that_is_not_one_value_is_a_type_error(args: tuple[int, ...]) -> None:
    with InputNode() as inp:
        dag = one.bind(inp)
    with pytest.raises(TypeError, match="InputNode"):
        graph(dag, *args)


def test_a_missing_input_is_named() -> None:
    with InputNode() as inp:
        dag = one.bind(inp.learning_rate)
    with pytest.raises(TypeError, match="learning_rate"):
        graph(dag)


@pytest.mark.parametrize("thing", [5, None, add, lambda: 1, [1]], ids=lambda t: type(t).__name__)
def test_what_is_no_dag_is_a_type_error(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"\.bind\(\)"):
        graph(thing)


def test_actors_methods_and_several_outputs_are_type_errors_anywhere() -> None:
    with InputNode() as inp:
        odd = [
            Counter.bind(), Counter.bind().count.bind(), MultiOutputNode([one.bind(1)]), inp,
        ]  # fmt: skip
    for dag in odd:
        with pytest.raises(TypeError):
            graph(dag)
    for dag in odd[:3]:
        with pytest.raises(TypeError):
            graph(one.bind(dag))
        with pytest.raises(TypeError):
            graph(one.bind([dag]))


def test_several_return_values_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="num_returns=2"):
        graph(one.bind(add.options(num_returns=2).bind(1, 2)))


def test_a_generator_is_a_value_error() -> None:
    @ray.remote
    def numbers() -> Any:
        yield 1

    with pytest.raises(ValueError, match=r"numbers is a generator.*Return a list"):
        graph(numbers.bind())


def test_an_input_without_arguments_to_take_it_from_is_a_type_error() -> None:
    with InputNode() as inp:
        dag = one.bind([inp.x])
    with pytest.raises(TypeError, match="continuation"):
        translate(dag, MemoryEncoder())


def test_a_list_that_changes_after_bind_is_stored_as_it_is_when_the_dag_is_run() -> None:
    values = [1]
    dag = one.bind(values)
    values.append(2)
    first = graph(dag)
    values.append(3)
    assert arguments(first.nodes[0].args) == (([1, 2],), {})


def test_the_same_dag_translates_to_the_same_graph_every_time() -> None:
    shared = one.bind([1])
    dag = one.bind(shared, key=[shared, add.bind(1, 2)])
    assert graph(dag) == graph(dag)


def test_an_option_that_is_an_object_is_kept_pickled_and_readable() -> None:
    strategy = NodeAffinitySchedulingStrategy("ab" * 28, soft=True)
    looks_pickled = {"pickled": 1.0, "repr": 2.0}
    plain = {"num_cpus": 0.5, "label_selector": {"zone": "!in(a,b)"}, "_labels": {"team": "ml"}}
    task = add.options(scheduling_strategy=strategy, resources=looks_pickled, **plain)
    [made] = graph(task.bind(1, 2)).nodes

    kept = json.loads(json.dumps(made.options.ray))
    assert kept == made.options.ray
    assert {name: kept[name] for name in plain} == plain
    assert kept["scheduling_strategy"]["repr"] == repr(strategy)
    back = restored(kept)
    assert back["resources"] == looks_pickled
    assert vars(back["scheduling_strategy"]) == vars(strategy)


def test_an_option_that_ray_has_no_use_for_is_a_value_error_with_task_and_option() -> None:
    named = workflow.options(task_id="fit")
    for option in ({"scheduling_strategy": "FAST"}, {"resources": {"GPU": 1}}):
        node = add.options(**named).bind(1, 2)
        node._bound_options.update(option)  # as from a Ray that checks less
        with pytest.raises(ValueError, match=rf"{next(iter(option))}.*of task fit"):
            graph(node)


def test_an_option_that_cannot_be_pickled_is_a_value_error_with_task_and_option() -> None:
    strategy = NodeAffinitySchedulingStrategy("ab" * 28, soft=True)
    strategy.lock = threading.Lock()
    with pytest.raises(ValueError, match=r"scheduling_strategy=.*add cannot be stored.*lock"):
        graph(add.options(scheduling_strategy=strategy).bind(1, 2))


def test_what_cannot_be_loaded_any_more_is_a_value_error_with_its_name() -> None:
    with pytest.raises(ValueError, match=r"scheduling_strategy=<Gone> cannot be loaded"):
        restored({"scheduling_strategy": {"pickled": "gASVCgAAAAAAAA==", "repr": "<Gone>"}})


@pytest.mark.parametrize(
    "make", [lambda: add.bind(1), lambda: add.bind(1, 2, 3), lambda: add.bind(1, b=2, c=3)]
)
def test_arguments_that_do_not_fit_are_a_type_error(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        graph(one.bind(make()))
