"""Options of tasks: all spellings, under plain Ray too, and Ray's own options with objects in them."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from ray.util import ActorPool

from rayflow import workflow

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
