"""What a Ray Client can do; run by ``test_ray_client.py`` in a process that is one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.dag import InputNode

from rayflow import workflow
from rayflow.runtime.far_store import FarStore
from rayflow.storage.local import LocalStore
from rayflow.testing.store_tests import StoreTests
from tests import waiting

ROOT = os.environ.get("CHECKS_ROOT", "")


@pytest.fixture(scope="session", autouse=True)
def client() -> Iterator[None]:
    """This process connected through ``ray://``, unable to open the root itself."""
    ray.init(os.environ["CHECKS_ADDRESS"], namespace="rayflow")
    local_opening = LocalStore.__init__

    def refuse(self: LocalStore, *_args: Any) -> None:
        raise AssertionError("A Ray Client opened the storage on its own machine.")

    LocalStore.__init__ = refuse  # type: ignore[method-assign]
    workflow.init(ROOT)
    yield
    LocalStore.__init__ = local_opening  # type: ignore[method-assign]
    ray.shutdown()


class TestFarStore(StoreTests):
    """The contract of a store, through a Ray Client."""

    tells_creators_apart = False  # eight writers would need eight workers at once

    @pytest.fixture
    def store(self) -> FarStore:
        """An empty root that only the cluster sees."""
        return FarStore(f"{ROOT}-stores/{uuid.uuid4().hex}")


@ray.remote
def add(a: int, b: int) -> int:
    return a + b


@ray.remote
def fail() -> None:
    raise ZeroDivisionError("no luck")


@ray.remote
def total(array: np.ndarray) -> float:
    return float(array.sum())


@ray.remote
def count_down(n: int) -> Any:
    return n if n == 0 else workflow.continuation(count_down.bind(n - 1))


@ray.remote
def until(path: str) -> str:
    waiting.until(lambda: Path(path).exists())
    return "seen"


def test_a_graph_runs_with_the_arguments_of_its_input_node() -> None:
    with InputNode() as given:
        dag = add.bind(add.bind(given[0], 1), given.b)
    assert workflow.run(dag, 1, b=40, workflow_id="client-input") == 42
    assert workflow.get_output("client-input", task_id=f"{add._function.__module__}.add") == 2


def test_the_reference_of_run_async_is_one_for_ray_get() -> None:
    assert ray.get(workflow.run_async(add.bind(1, 2), workflow_id="client-async")) == 3
    assert workflow.get_status("client-async") == workflow.SUCCESSFUL


def test_large_arrays_and_references_travel_both_ways() -> None:
    array = np.ones(2_000_000)
    assert workflow.run(total.bind(array)) == 2_000_000
    assert workflow.run(total.bind(ray.put(array))) == 2_000_000


def test_a_large_result_arrives() -> None:
    @ray.remote
    def make() -> np.ndarray:
        return np.arange(1_000_000)

    assert workflow.run(make.bind())[-1] == 999_999


def test_a_continuation_runs_to_its_end() -> None:
    assert workflow.run(count_down.bind(3)) == 0


def test_a_failure_arrives_as_the_error_it_is() -> None:
    with pytest.raises(workflow.WorkflowExecutionError, match="no luck") as caught:
        workflow.run(fail.options(max_retries=0).bind(), workflow_id="client-failed")
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert workflow.get_status("client-failed") == workflow.FAILED
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.resume("client-failed")


def test_a_workflow_is_listed_cancelled_and_deleted(tmp_path: Any) -> None:
    ref = workflow.run_async(until.bind(f"{tmp_path}/never"), workflow_id="client-cancelled")
    assert ("client-cancelled", workflow.RUNNING) in workflow.list_all()
    with pytest.raises(RuntimeError):
        workflow.resume("client-cancelled")
    workflow.cancel("client-cancelled")
    with pytest.raises(workflow.WorkflowCancellationError):
        ray.get(ref)
    assert workflow.get_metadata("client-cancelled")["status"] == "CANCELED"
    workflow.delete("client-cancelled")
    with pytest.raises(workflow.exceptions.WorkflowNotFoundError):
        workflow.get_status("client-cancelled")
    with pytest.raises(ValueError, match="client-cancelled"):
        workflow.get_output("client-cancelled")


def test_an_interrupted_workflow_is_resumed(tmp_path: Any) -> None:
    flag = tmp_path / "flag"
    workflow.run_async(until.bind(str(flag)), workflow_id="client-resumed")
    workflow.suspend("client-resumed")
    assert workflow.get_status("client-resumed") == workflow.RESUMABLE
    flag.touch()
    assert workflow.resume("client-resumed") == "seen"
    workflow.run_async(until.bind(f"{flag}2"), workflow_id="client-all")
    workflow.suspend("client-all")
    (tmp_path / "flag2").touch()
    assert workflow.resume("client-all") == "seen"


def test_bad_calls_are_refused_like_anywhere() -> None:
    with pytest.raises(TypeError, match="missing"):
        workflow.run(add.bind(1))
    with pytest.raises(TypeError):
        workflow.run(add.remote(1, 2))
    with pytest.raises(ValueError, match="unknown-id"):
        workflow.get_output("unknown-id")


def test_an_actor_handle_is_refused() -> None:
    @ray.remote(num_cpus=0)
    class Counter:
        pass

    with pytest.raises(workflow.exceptions.SerializationError, match="actor handle"):
        workflow.run(add.bind(Counter.remote(), 1))
