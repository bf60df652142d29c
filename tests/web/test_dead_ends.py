"""Tasks that no machine of the cluster can run are named on the workflow's page."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tests.web import factories
from tests.web.pages import check_markup, signed_in, text_of
from workflows_app import dead_ends, queries
from workflows_app.dead_ends import Unmet
from workflows_app.models import ClusterSample, Task, Workflow

pytestmark = pytest.mark.django_db


def node(is_alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"node_id": "n", "address": "10.0.0.1", "is_alive": is_alive, "is_head": True,
            "resources": resources, "labels": {}}  # fmt: skip


def found(options: Any, *nodes: dict[str, Any], status: str = "RUNNING") -> list[Unmet]:
    owner = factories.workflow("one", status)
    Task.objects.create(workflow=owner, task_id="train", name="train", options=options)
    Workflow.objects.filter(pk=owner.pk).update(tasks_total=1)
    ClusterSample.objects.create(time=timezone.now(), nodes=list(nodes))
    owner.refresh_from_db()
    return dead_ends.unmet(owner, queries.task_groups(owner))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"num_gpus": 4}, Unmet("train", "GPU", 4.0, 2.0)),
        ({"num_gpus": 2}, None),
        ({"num_cpus": 0}, None),
        ({"resources": {"tpu": 1}}, Unmet("train", "tpu", 1.0, 0.0)),
        ({"memory": 2**40}, Unmet("train", "memory", 2.0**40, 2.0**34)),
        ({"num_gpus": "many", "resources": 7}, None),
        ({"num_gpus": True}, None),
    ],
)
def test_a_task_that_fits_no_node_is_found(asked: dict[str, Any], expected: Unmet | None) -> None:
    nodes = (node(CPU=8, GPU=2, memory=2**34), node(is_alive=False, CPU=8, GPU=8))
    assert found({"ray": asked}, *nodes) == ([expected] if expected else [])


@pytest.mark.parametrize("options", [None, 7, "x", {"ray": []}, {}])
def test_options_of_a_broken_journal_do_no_harm(options: Any) -> None:
    assert found(options if options is not None else {}, node(CPU=1)) == []


def test_nothing_is_said_without_a_sample_or_of_what_has_ended() -> None:
    assert found({"ray": {"num_gpus": 4}}) == []
    Workflow.objects.all().delete()
    assert found({"ray": {"num_gpus": 4}}, node(CPU=1), status="FAILED") == []


def test_the_page_says_what_is_missing(operator: User) -> None:
    assert found({"ray": {"num_gpus": 4}}, node(CPU=8, GPU=2))
    text = text_of(signed_in(operator).get("/workflows/one/"))
    assert check_markup(text).faults == []
    assert "train cannot start on this cluster" in text
    assert "It needs 4 GPU; the best node has 2" in text
