"""The bundled examples, run by the engine on a real local Ray, with small parameters."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from examples.code_census import code_census
from examples.digits_training import digits_training
from examples.trip_booking import BookingService, book_trip, trip_booking
from rayflow import workflow
from tests.waiting import until

SMALL_SEARCH = {
    "svc_c": [1.0, 10.0],
    "svc_gamma": [0.001],
    "forest_trees": [20],
    "forest_depth": [8],
    "folds": 3,
    "seeds": [0],
}


def test_digits_training_finds_a_good_classifier_and_keeps_it(engine: str) -> None:
    result = workflow.run(digits_training.build(SMALL_SEARCH), workflow_id="digits")

    assert result["accuracy"] > 0.95
    assert result["best"]["estimator"] == "svc"
    metrics = result["metrics"]
    assert isinstance(metrics, pa.Table)
    assert (metrics.num_rows, metrics["fits"].to_pylist()) == (3, [3, 3, 3])
    assert metrics["accuracy"].to_pylist() == sorted(metrics["accuracy"].to_pylist(), reverse=True)
    model = workflow.get_output("digits", task_id="refit")
    assert model.get_params()["gamma"] == 0.001
    fit = workflow.get_metadata("digits", task_id="fit_fold_8")
    assert fit["user_metadata"]["estimator"] == "forest"


@pytest.fixture
def source_tree(tmp_path: Path) -> Path:
    package = tmp_path / "source" / "shop"
    package.mkdir(parents=True)
    (package / "cart.py").write_text('"""Cart."""\n\nclass Cart:\n    def add(self): ...\n')
    (package / "broken.py").write_text("def (:\n")
    (package / "latin.py").write_bytes(b"name = '\xe9'\n")
    (package / "test_cart.py").write_text("assert True\n")
    (tmp_path / "source" / "setup.py").write_text("x = 1\n" * 10)
    return tmp_path / "source"


def test_code_census_counts_every_file_and_writes_parquet(engine: str, source_tree: Path) -> None:
    dag = code_census.build({"root": str(source_tree), "batch_size": 1})
    result = workflow.run(dag, workflow_id="census")

    assert result["totals"] == {
        "packages": 2, "files": 4, "lines": 15, "functions": 1, "classes": 1, "problems": 2,
    }  # fmt: skip
    assert [row["path"] for row in result["problems"]] == ["shop/broken.py", "shop/latin.py"]
    shop = result["packages"].to_pylist()[1]
    assert (shop["package"], shop["docstring_coverage"]) == ("shop", pytest.approx(1 / 3))
    stored = (Path(engine) / result["parquet"]).read_bytes()
    assert pq.read_table(io.BytesIO(stored)).equals(result["packages"])


def test_code_census_of_a_folder_that_is_not_there_fails_with_a_clear_error(engine: str) -> None:
    dag = code_census.build({"root": "/no/such/folder"})
    with pytest.raises(workflow.exceptions.WorkflowExecutionError, match="is not a folder"):
        workflow.run(dag, workflow_id="census-nowhere")
    assert workflow.get_status("census-nowhere") == workflow.FAILED


def _ledger(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "bookings").glob("*.json")]


def test_trip_booking_books_each_part_once_although_the_service_fails(
    engine: str, tmp_path: Path
) -> None:
    params = {"failure_probability": 0.7, "seed": 3, "ledger": str(tmp_path)}
    receipt = workflow.run(trip_booking.build(params), workflow_id="trip")

    assert (receipt["status"], receipt["to_pay"], receipt["reasons"]) == ("confirmed", 1198, [])
    assert receipt["calls_to_the_service"] > 3
    booked = _ledger(tmp_path)
    assert [each["state"] for each in booked] == ["booked"] * 3
    assert {each["token"] for each in booked} == {each["token"] for each in receipt["bookings"]}
    flight = workflow.get_output("trip", task_id="outbound_flight")
    assert flight[0].what == "flight OAK-SAN on 2030-06-12"


def test_trip_booking_cancels_what_was_booked_when_the_hotel_is_sold_out(
    engine: str, tmp_path: Path
) -> None:
    params = {"failure_probability": 0.5, "hotel_sold_out": True, "ledger": str(tmp_path)}
    receipt = workflow.run(trip_booking.build(params), workflow_id="trip-sold-out")

    assert (receipt["status"], receipt["to_pay"]) == ("canceled", 0)
    assert receipt["reasons"] == ["hotel in SAN from 2030-06-12 to 2030-07-05: sold out"]
    assert [each["state"] for each in _ledger(tmp_path)] == ["canceled"] * 3
    assert workflow.get_status("trip-sold-out") == workflow.SUCCESSFUL


@pytest.mark.parametrize("approved", [True, False])
def test_an_expensive_trip_waits_for_a_person(engine: str, tmp_path: Path, approved: bool) -> None:
    params = {"failure_probability": 0.3, "ask_above": 1_000, "ledger": str(tmp_path)}
    name = f"trip-asks-{approved}"
    ref = workflow.run_async(trip_booking.build(params), workflow_id=name)
    until(lambda: _is_asked(name))
    workflow.answer(name, "approve_trip", approved, by="ann")
    receipt = ray.get(ref)
    if approved:
        assert (receipt["status"], receipt["to_pay"]) == ("confirmed", 1198)
    else:
        assert (receipt["status"], receipt["to_pay"]) == ("canceled", 0)
        assert receipt["reasons"] == ["the price: ann said no"]
    states = {each["state"] for each in _ledger(tmp_path)}
    assert states == {"booked" if approved else "canceled"}


def test_a_trip_that_nobody_approves_in_time_is_canceled(engine: str, tmp_path: Path) -> None:
    params = {"failure_probability": 0.0, "ask_above": 0, "ledger": str(tmp_path)}
    receipt = workflow.run(trip_booking.build({**params, "answer_within": 0.2}))
    assert (receipt["status"], receipt["reasons"]) == (
        "canceled",
        ["the price: nobody answered in time"],
    )
    assert {each["state"] for each in _ledger(tmp_path)} == {"canceled"}


def _is_asked(workflow_id: str) -> bool:
    with contextlib.suppress(ValueError):
        wait = workflow.get_metadata(workflow_id, "approve_trip").get("wait") or {}
        return wait.get("state") == "WAITING"
    return False


def test_a_trip_that_cannot_be_canceled_does_not_look_fine(engine: str, tmp_path: Path) -> None:
    service = BookingService(str(tmp_path), failure_probability=2.0, seed=1)
    dag = book_trip.bind(service, "OAK", "SAN", ["2030-06-12", "2030-07-05"], False)
    with pytest.raises(workflow.exceptions.WorkflowExecutionError, match="No connection"):
        workflow.run(dag, workflow_id="trip-unreachable")
    assert workflow.get_status("trip-unreachable") == workflow.FAILED
    # Asked once and again up to 20 times, until the first cancellation had failed for good.
    assert service.calls() >= 4 * 21
