"""Launching definitions by name, as the console and the API do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rayflow import workflow
from rayflow.definitions import launch
from rayflow.errors import InvalidParametersError, WorkflowExistsError
from rayflow.reader import open_root

SOURCE = """
from __future__ import annotations
from dataclasses import dataclass
import ray
from rayflow import workflow

@dataclass(frozen=True)
class Order:
    item: str
    count: int

@workflow.options(task_id="pack")
@ray.remote
def pack(order: Order) -> str:
    return f"{order.count} x {order.item}"

@workflow.definition(tags={"shop": "north", "team": "sales"})
def order(item: str, count: int = 1):
    return pack.bind(Order(item, count))
"""


@pytest.fixture
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.py").write_text(SOURCE)
    monkeypatch.setenv("RAYFLOW_FLOWS", str(tmp_path / "shop.py"))


@pytest.mark.usefixtures("_shop")
def test_a_definition_in_a_file_runs_although_no_worker_can_import_the_file(engine: Any) -> None:
    assert launch("order", {"item": "tea"}, workflow_id="order-1") == "order-1"
    assert workflow.get_output("order-1") == "1 x tea"


@pytest.mark.usefixtures("_shop")
def test_what_was_launched_is_recorded_with_its_parameters_and_tags(engine: Any) -> None:
    launch(
        "order",
        {"item": "tea"},
        workflow_id="order-2",
        metadata={"ticket": 7},
        tags={"team": "support"},
        created_by="ada",
    )
    accepted = open_root(engine.storage).records("order-2", None).records[0]
    assert accepted.kind == "accepted"
    expected = {
        "definition": "order",
        "params": {"item": "tea", "count": 1},
        "metadata": {"ticket": 7},
        "tags": {"shop": "north", "team": "support"},
        "created_by": "ada",
    }
    assert {key: accepted.data[key] for key in expected} == expected


@pytest.mark.usefixtures("_shop")
def test_a_taken_id_is_an_error_or_the_workflow_that_has_it(engine: Any) -> None:
    launch("order", {"item": "tea"}, workflow_id="order-3")
    with pytest.raises(WorkflowExistsError, match="order-3"):
        launch("order", {"item": "milk"}, workflow_id="order-3")
    again = launch("order", {"item": "milk"}, workflow_id="order-3", on_conflict="return")
    assert again == "order-3"
    assert workflow.get_output("order-3") == "1 x tea"


@pytest.mark.usefixtures("_shop")
def test_unfit_parameters_leave_no_trace(engine: Any) -> None:
    before = workflow.list_all()
    with pytest.raises(InvalidParametersError, match="/count"):
        launch("order", {"item": "tea", "count": "two"}, workflow_id="order-4")
    assert workflow.list_all() == before
