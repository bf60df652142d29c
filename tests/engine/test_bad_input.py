"""What cannot work is refused with an error of the right type, and nothing is lost or left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.dag import InputNode

from rayflow import workflow
from rayflow.errors import InvalidWorkflowIdError, SerializationError, StorageError


@ray.remote
def one(value: Any = 1) -> Any:
    return value


@pytest.fixture(autouse=True)
def unchanged(engine: str) -> Any:
    """No refused input may leave a workflow behind."""
    before = workflow.list_all()
    yield
    workflow.init(engine)  # some tests disconnect
    assert workflow.list_all() == before


@pytest.mark.parametrize("dag", [None, 5, "text", one, [1], lambda: 1])
def test_only_dags_can_be_run(dag: Any) -> None:
    with pytest.raises(TypeError, match="bind"):
        workflow.run(dag)
    with pytest.raises(TypeError, match="bind"):
        workflow.continuation(dag)


def test_a_reference_is_no_dag() -> None:
    with pytest.raises(TypeError, match="ObjectRef"):
        workflow.run(one.remote())


def test_actors_cannot_be_part_of_a_workflow() -> None:
    @ray.remote
    class Counter:
        def get(self) -> int:
            return 1

    with pytest.raises(TypeError):
        workflow.run(Counter.bind())
    with pytest.raises(TypeError):
        workflow.run(one.bind(Counter.bind().get.bind()))


def test_a_task_returns_one_value() -> None:
    with pytest.raises(ValueError, match="num_returns=2"):
        workflow.run(one.options(num_returns=2).bind())


def test_arguments_must_fit_before_anything_starts() -> None:
    @ray.remote
    def pair(left: int, right: int) -> int:
        return left + right

    with pytest.raises(TypeError, match="right"):
        workflow.run(pair.bind(one.bind(), unknown=2))


@pytest.mark.parametrize("metadata", [5, "text", [1], {"key": {1, 2}}, {"key": object()}])
def test_metadata_must_be_json(metadata: Any) -> None:
    with pytest.raises(ValueError, match="metadata"):
        workflow.run(one.bind(), metadata=metadata)


@pytest.mark.parametrize("bad", ["", "x" * 1025, "\ud800", 5, b"bytes", ["id"]])
def test_what_is_no_id_is_refused_everywhere(bad: Any) -> None:
    for call in (
        lambda: workflow.run(one.bind(), workflow_id=bad),
        lambda: workflow.get_status(bad),
        lambda: workflow.resume(bad),
        lambda: workflow.cancel(bad),
        lambda: workflow.delete(bad),
        lambda: workflow.get_output(bad),
    ):
        with pytest.raises(InvalidWorkflowIdError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, TypeError)


def test_arguments_that_cannot_be_pickled_are_named() -> None:
    with pytest.raises(TypeError, match="lock"):
        workflow.run(one.bind(threading.Lock()))  # Ray refuses this one by itself
    with InputNode() as given, pytest.raises(SerializationError, match=r"(?s)arguments of.*lock"):
        workflow.run(one.bind(given), threading.Lock())


def test_unknown_workflows_are_not_resumed() -> None:
    with pytest.raises(workflow.exceptions.WorkflowNotResumableError):
        workflow.resume("no-such-workflow")


def test_a_storage_that_cannot_be_written_is_refused(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Cannot write"):
        own_engine("file/below")


def test_options_that_ray_has_no_use_for_are_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"scheduling_strategy='FAST' of task .*one"):
        workflow.run(one.options(scheduling_strategy="FAST").bind())


def test_a_generator_is_refused_before_anything_starts() -> None:
    @ray.remote
    def numbers() -> Any:
        yield 1

    with pytest.raises(ValueError, match="numbers is a generator"):
        workflow.run(one.bind(numbers.bind()))
