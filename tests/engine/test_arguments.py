"""References to objects, and datasets, as arguments and results: live, stored and after a recovery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray.dag import InputNode

from rayflow import workflow
from rayflow.storage import layout
from tests.cluster import CHECKOUT
from tests.engine.conftest import stop_engine

# Both ways to run a DAG are compared; Ray has deprecated its own.
pytestmark = pytest.mark.filterwarnings("ignore:DAGNode.execute:DeprecationWarning")


def stored_objects(root: str, workflow_id: str) -> list[str]:
    """The objects stored of a workflow's references."""
    folder = Path(root) / layout.workflow(workflow_id) / "values" / "objects"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@dataclass
class Holder:
    """An object of the user, with references deep inside."""

    deep: dict[str, list[Any]]


@ray.remote
def total(direct: Any, nested: list[Any], holder: Holder | None = None) -> int:
    refs = [*nested, *(holder.deep["list"] if holder else [])]
    assert all(isinstance(ref, ray.ObjectRef) for ref in refs)
    assert len(set(refs)) == 1, "one reference has become several"
    return int(sum(a.sum() for a in [direct, *ray.get(refs)]))


@ray.remote
def hand_on(nested: list[Any]) -> list[Any]:
    return [*nested, nested[0]]


def test_a_reference_used_21_times_is_one_object_in_the_storage(engine: str) -> None:
    ref = ray.put(np.ones(20_000))
    handed = hand_on.bind([ref, ref, ref])
    first = total.bind(ref, [ref] * 5, Holder({"list": [ref, ref]}))
    second = total.bind(ref, [ref] * 5, holder=Holder({"list": [ref] * 3}))

    @ray.remote
    def join(first: int, second: int, refs: list[Any], ref: Any) -> tuple[int, Any]:
        return first + second + int(sum(a.sum() for a in ray.get(refs))), [refs[0], ref[0]]

    value, refs = workflow.run(join.bind(first, second, handed, [ref]), workflow_id="21-times")

    assert value == (8 + 9 + 4) * 20_000
    assert [array.sum() for array in ray.get(refs)] == [20_000, 20_000]
    assert len(stored_objects(engine, "21-times")) == 1


def test_equal_contents_are_stored_once_and_different_ones_apart(engine: str) -> None:
    refs = [ray.put(np.full(20_000, n)) for n in (1, 1, 2)]

    @ray.remote
    def last(refs: list[Any]) -> int:
        return int(ray.get(refs[2])[0])

    assert workflow.run(last.bind(refs), workflow_id="contents") == 2
    assert len(stored_objects(engine, "contents")) == 2


def test_each_workflow_keeps_contents_of_its_own(engine: str) -> None:
    ref = ray.put(np.ones(20_000))
    for name in ("own-1", "own-2"):
        workflow.run(hand_on.bind([ref]), workflow_id=name)
    assert [len(stored_objects(engine, name)) for name in ("own-1", "own-2")] == [1, 1]

    workflow.delete("own-1")
    assert stored_objects(engine, "own-1") == []
    workflow.run(hand_on.bind([ref]), workflow_id="own-1")

    for name in ("own-1", "own-2"):
        assert len(stored_objects(engine, name)) == 1
        assert ray.get(workflow.get_output(name)[1]).sum() == 20_000


def test_a_reference_outlives_the_process_that_owned_it(engine: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    @ray.remote
    def opened(path: str) -> str:
        return Path(path).read_text()  # a pipe: waits until somebody writes

    @ray.remote
    class Submitter:
        def submit(self, root: str) -> None:
            workflow.init(root)
            self.ref = ray.put(np.ones(20_000))
            dag = late.bind(opened.bind(str(gate)), self.ref, [self.ref])
            workflow.run_async(dag, workflow_id="owner-dies")

    @ray.remote
    def late(word: str, direct: Any, nested: list[Any]) -> tuple[str, int]:
        return word, int(direct.sum() + ray.get(nested[0]).sum())

    submitter = Submitter.remote()  # type: ignore[attr-defined]
    ray.get(submitter.submit.remote(engine))
    ray.kill(submitter)
    gate.write_text("go")

    assert workflow.get_output("owner-dies") == ("go", 40_000)


@ray.remote
def give_ref(value: int) -> Any:
    return ray.put(value)


@ray.remote
def shape(direct: Any, nested: list[Any], *_: Any) -> list[Any]:
    """What the consumer finds: types on the way down, and the values at the bottom."""
    found: list[Any] = []
    for value in (direct, nested[0]):
        depth = 0
        while isinstance(value, ray.ObjectRef):
            value, depth = ray.get(value), depth + 1
        found.append((depth, value))
    return found


def test_dereferencing_is_one_level_as_under_plain_ray(engine: str) -> None:
    given = give_ref.remote(4)  # a reference whose value is a reference
    for dag, depths in (
        (shape.bind(give_ref.bind(7), [give_ref.bind(8)]), [1, 2]),
        (shape.bind(ray.put(1), [ray.put(2)]), [0, 1]),
        (shape.bind(given, [given]), [1, 2]),
    ):
        found = workflow.run(dag)
        assert [depth for depth, _ in found] == depths
        assert ray.get(dag.execute()) == found


def test_types_of_inputs_are_the_same_after_a_recovery(own_engine: Any, tmp_path: Path) -> None:
    root, barrier = own_engine(), tmp_path / "open"

    @ray.remote(max_retries=0)
    def gate() -> None:
        if not barrier.exists():
            raise RuntimeError("closed")

    @ray.remote
    def large() -> Any:
        return np.ones(20_000)

    @ray.remote
    def sums(plain: Any, nested: list[Any], *_: Any) -> list[Any]:
        assert isinstance(nested[0], ray.ObjectRef)
        return [int(plain.sum()), int(ray.get(nested[0]).sum())]

    array, given = large.bind(), give_ref.remote(4)
    stages = [
        shape.bind(give_ref.bind(7), [give_ref.bind(8)], gate.bind()),
        shape.bind(given, [given], gate.bind()),
    ]

    @ray.remote
    def opened(first: Any, second: Any, rest: Any) -> Any:
        return first, second, rest

    dag = opened.bind(*stages, sums.bind(array, [array], gate.bind()))
    with pytest.raises(workflow.WorkflowExecutionError):
        workflow.run(dag, workflow_id="types")

    stop_engine(root)
    barrier.touch()
    workflow.init(root)

    expected = ([(1, 7), (2, 8)], [(1, 4), (2, 4)], [20_000, 20_000])
    assert workflow.resume("types") == expected


def test_an_input_has_no_meaning_in_a_continuation(engine: str) -> None:
    @ray.remote
    def parent() -> Any:
        with InputNode() as inp:
            return workflow.continuation(give_ref.bind(inp.x))

    with pytest.raises(workflow.WorkflowExecutionError, match=r"InputNode .* continuation"):
        workflow.run(parent.bind())


def program(phase: str, root: Path) -> str:
    """What :mod:`tests.engine.dataset_program` prints, in an environment without our Ray."""
    ours = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "RAYFLOW_STORAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.dataset_program", phase, str(root)],
        env={**ours, "PYTHONPATH": CHECKOUT},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_datasets_go_from_task_to_task_and_survive_the_cluster(tmp_path: Path) -> None:
    program("begin", tmp_path)
    found = json.loads(program("resume", tmp_path).splitlines()[-1])
    names = ("argument", "lazy argument", "made", "made lazily", "nested")
    assert found == dict.fromkeys(names, 90)
