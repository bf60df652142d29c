"""The DAG of a workflow, and the places of its tasks in the drawing of all of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import pytest

from tests.web import factories
from workflows_app import dag, dag_layout
from workflows_app.dag import Dag
from workflows_app.models import Task


def made(size: int, edges: Iterable[tuple[int, int]] = ()) -> Dag:
    whole = Dag(ids=[f"t{n}" for n in range(size)], names=array("i", [0] * size), titles=["t"])
    for source, target in edges:
        whole.sources.append(source)
        whole.targets.append(target)
    return whole


def mesh(size: int, edges: int) -> Dag:
    """Every task takes from some before it, in a fixed pattern."""
    pairs = (((n * 7_919) % target, target) for n in range(edges) if (target := n % (size - 1) + 1))
    return made(size, pairs)


def places(whole: Dag) -> list[tuple[float, float]]:
    found = dag_layout.lay_out(whole)
    return list(zip(found.xs, found.ys, strict=True))


@pytest.mark.parametrize(
    "whole",
    [
        made(0),
        made(1),
        made(1, [(0, 0)]),
        made(5),
        made(3, [(0, 1), (1, 2), (2, 0)]),
        made(2_000, [(n, n + 1) for n in range(1_999)]),
        made(3_001, [(0, n) for n in range(1, 3_001)]),
        made(3_001, [(n, 3_000) for n in range(3_000)]),
        mesh(2_000, 8_000),
    ],
    ids=["empty", "one", "self", "apart", "circle", "chain", "fan-out", "fan-in", "mesh"],
)
def test_every_task_has_a_place_of_its_own(whole: Dag) -> None:
    found = places(whole)
    assert len(found) == len(set(found)) == len(whole.ids)


def test_edges_lead_to_the_right_within_a_row() -> None:
    whole = mesh(300, 900)
    found = places(whole)
    assert all(found[a][0] < found[b][0] for a, b in whole.edges() if a != b)


@pytest.mark.parametrize(
    "whole",
    [
        made(5_000, [(n, n + 1) for n in range(4_999)]),
        made(50_001, [(0, n) for n in range(1, 50_001)]),
    ],
    ids=["chain", "fan-out"],
)
def test_a_long_chain_and_a_wide_fan_out_fill_an_area(whole: Dag) -> None:
    found = places(whole)
    width = max(x for x, _ in found) - min(x for x, _ in found)
    height = max(y for _, y in found) - min(y for _, y in found)
    assert width < 12 * height
    assert height < 12 * width


@pytest.mark.django_db
def test_a_dag_is_read_with_its_calls_and_kept_while_no_task_is_added() -> None:
    owner = factories.workflow("one")
    rows = [
        Task(workflow=owner, task_id="a", name="load"),
        Task(workflow=owner, task_id="b", name="fit", upstream=["a", "a", "gone"]),
        Task(workflow=owner, task_id="c", name="fit", parent_task_id="b"),
        Task(workflow=owner, task_id="d", name="end", upstream=["late"], parent_task_id="b"),
        Task(workflow=owner, task_id="late", name="load"),
    ]
    Task.objects.bulk_create(rows)
    whole = dag.read(owner)
    assert sorted(whole.edges()) == [(0, 1), (1, 2), (4, 3)]
    assert whole.between_names(with_calls=False) == {("load", "fit"): 1, ("load", "end"): 1}
    assert whole.between_names(with_calls=True)["fit", "fit"] == 1
    Task.objects.create(workflow=owner, task_id="new", name="x")
    assert len(dag.read(owner).ids) == 5
    owner.tasks_total = 6
    assert len(dag.read(owner).ids) == 6


def test_what_lies_around_a_task_is_found_nearest_first() -> None:
    whole = made(7, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (1, 6)])
    assert whole.around("t2", steps=1, most=10) == [2, 1, 3]
    assert set(whole.around("t2", steps=2, most=10)) == {2, 1, 3, 0, 4, 6}
    assert whole.around("t2", steps=9, most=3) == [2, 1, 3]
