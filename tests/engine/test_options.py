"""Options of tasks: all spellings, under plain Ray too, and Ray's own options with objects in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.runtime_env import RuntimeEnv
from ray.util import ActorPool
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import (
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

from rayflow import workflow
from tests.engine.conftest import stop_engine

pytestmark = [
    pytest.mark.usefixtures("engine"),
    # Both ways to run a DAG are compared; Ray has deprecated its own.
    pytest.mark.filterwarnings("ignore:DAGNode.execute:DeprecationWarning"),
]


@workflow.options(task_id="kept", metadata={"from": "decorator"})
@ray.remote(num_cpus=1, max_retries=1)
def double(value: int) -> int:
    return 2 * value


def test_a_function_with_options_is_still_a_remote_function() -> None:
    named = double.options(num_cpus=0.5, **workflow.options(task_id="other"))
    dag = named.bind(double.bind(1))

    assert ray.get([double.remote(1), named.remote(2)]) == [2, 4]
    assert ray.get(dag.execute()) == workflow.run(dag, workflow_id="still-remote") == 4
    assert workflow.get_output("still-remote", task_id="other") == 4
    assert workflow.get_output("still-remote", task_id="kept") == 2
    found = workflow.get_metadata("still-remote", "other")
    assert found["user_metadata"] == {"from": "decorator"}
    assert found["task_options"]["max_retries"] == 1
    assert found["task_options"]["ray_options"] == {"num_cpus": 0.5}


def test_functions_with_options_are_used_inside_tasks_and_actors() -> None:
    @ray.remote
    class Caller:
        def call(self, function: Any, value: int) -> Any:
            return ray.get(function.options(num_cpus=0.1).remote(value))

    @ray.remote
    def inside(function: Any) -> Any:
        dag = function.options(**workflow.options(task_id="grandchild")).bind(3)
        return ray.get(function.options(num_cpus=0.1).remote(1)), ray.get(dag.execute())

    @ray.remote
    def parent(function: Any) -> Any:
        return workflow.continuation(
            function.options(num_cpus=0.1, **workflow.options(task_id="child")).bind(4)
        )

    pool = ActorPool([Caller.remote()])
    assert list(pool.map(lambda actor, value: actor.call.remote(double, value), [1, 2])) == [2, 4]
    assert ray.get(inside.remote(double)) == (2, 6)
    assert workflow.run(parent.bind(double), workflow_id="inside-tasks") == 8
    assert workflow.get_output("inside-tasks", task_id="child") == 8
    assert workflow.get_metadata("inside-tasks", "child")["user_metadata"] == {"from": "decorator"}


@ray.remote
def where(*_: Any) -> dict[str, Any]:
    """What Ray has given the task."""
    around = ray.get_runtime_context()
    group = ray.util.get_current_placement_group()
    return {
        "resources": around.get_assigned_resources(),
        "node": around.get_node_id(),
        "group": None if group is None else group.id.hex(),
        "env": os.environ.get("COLOUR"),
        "pid": os.getpid(),
    }


@pytest.fixture
def group() -> Iterator[PlacementGroup]:
    made = placement_group([{"CPU": 1}])
    ray.get(made.ready())
    yield made
    remove_placement_group(made)


def test_a_task_has_the_resources_that_it_asked_for() -> None:
    address = next(name for name in ray.cluster_resources() if name.startswith("node:1"))
    asked = where.options(num_cpus=2, memory=10_000_000, resources={address: 0.01})

    given = workflow.run(asked.bind())["resources"]

    assert (given["CPU"], given[address], given["memory"]) == (2.0, 0.01, 10_000_000.0)


def test_options_that_are_objects_are_honoured_and_survive_a_new_engine(
    own_engine: Any, group: PlacementGroup, tmp_path: Path
) -> None:
    node = ray.get_runtime_context().get_node_id()
    barrier = tmp_path / "open"

    @ray.remote(max_retries=0)
    def gate() -> None:
        if not barrier.exists():
            raise RuntimeError("closed")

    ends = [
        where.options(**chosen).bind(gate.bind())
        for chosen in (
            {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)},
            {"scheduling_strategy": PlacementGroupSchedulingStrategy(group)},
            {"scheduling_strategy": NodeLabelSchedulingStrategy(hard={"ray.io/node-id": In(node)})},
            {"runtime_env": RuntimeEnv(env_vars={"COLOUR": "blue"})},
            {"label_selector": {"ray.io/node-id": node}, "_labels": {"team": "ml"}},
            {"max_retries": -1, "retry_exceptions": [ValueError, KeyError]},
        )
    ]
    root = own_engine()
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(collect.bind(*ends), workflow_id="objects")

    stop_engine(root)
    barrier.touch()
    workflow.init(root)
    found = workflow.resume("objects")

    assert {place["node"] for place in found} == {node}
    assert [place["group"] for place in found] == [None, group.id.hex(), None, None, None, None]
    assert [place["env"] for place in found] == [None, None, None, "blue", None, None]
    shown = [options_of("objects", n) for n in range(len(ends))]
    assert "NodeAffinitySchedulingStrategy" in shown[0]["scheduling_strategy"]["repr"]
    assert shown[3] == {"runtime_env": {"env_vars": {"COLOUR": "***"}}}  # it may be secret
    assert shown[4] == {"label_selector": {"ray.io/node-id": node}, "_labels": {"team": "ml"}}
    assert json.loads(json.dumps(shown)) == shown


def options_of(workflow_id: str, number: int) -> dict[str, Any]:
    """The Ray options of the n-th task named ``where``."""
    name = f"{where._function.__module__}.where" + (f"_{number}" if number else "")
    found: dict[str, Any] = workflow.get_metadata(workflow_id, name)["task_options"]["ray_options"]
    return found


@ray.remote
def collect(*values: Any) -> list[Any]:
    return list(values)


def test_a_node_or_group_of_another_cluster_is_no_reason_to_wait_for_ever() -> None:
    node = NodeAffinitySchedulingStrategy("ab" * 28, soft=False)
    unknown = PlacementGroup(ray.PlacementGroupID.from_random(), [{"CPU": 1}])
    group = PlacementGroupSchedulingStrategy(unknown)

    found = [workflow.run(where.options(scheduling_strategy=s).bind()) for s in (node, group)]

    assert [place["group"] for place in found] == [None, None]


def test_a_placement_group_that_has_been_removed_fails_the_task_with_a_sentence(
    group: PlacementGroup,
) -> None:
    strategy = PlacementGroupSchedulingStrategy(group)
    remove_placement_group(group)

    with pytest.raises(workflow.WorkflowExecutionError, match=f"{group.id.hex()} has been removed"):
        workflow.run(where.options(scheduling_strategy=strategy).bind())


def test_max_calls_gives_each_task_a_process_of_its_own() -> None:
    alone = ray.remote(max_calls=1)(where._function)
    first = alone.bind()

    found = workflow.run(collect.bind(first, alone.bind(first)))

    assert found[0]["pid"] != found[1]["pid"]
