"""The examples of the old library's concepts page and of its API page that are about steps.

As written there, but for ``from ray import workflow`` and for what the pages leave out (``...``): on the
concepts page ``rayflow.workflow``, on the API page the names of that time from ``rayflow.compat.steps_api``.
"""

# The listings keep the style they were written in.
# ruff: noqa: BLE001, UP006, UP035
# mypy: ignore-errors

from __future__ import annotations

from typing import Any, List

import pytest
import ray

from rayflow import workflow
from rayflow.compat import steps_api
from rayflow.workflow import Workflow

pytestmark = pytest.mark.usefixtures("engine")


def test_composing_steps_together_into_a_workflow() -> None:
    @workflow.step
    def one() -> int:
        return 1

    @workflow.step
    def add(a: int, b: int) -> int:
        return a + b

    output: Workflow[int] = add.step(100, one.step())

    assert output.run(workflow_id="run_1") == 101
    assert workflow.get_status("run_1") == workflow.WorkflowStatus.SUCCESSFUL
    assert workflow.get_output("run_1") == 101


def test_using_ray_objects_in_a_workflow() -> None:
    @ray.remote
    def hello():
        return "hello"

    @workflow.step
    def words() -> List[ray.ObjectRef]:
        return [hello.remote(), ray.put("world")]

    @workflow.step
    def concat(words: List[ray.ObjectRef]) -> str:
        return " ".join([ray.get(w) for w in words])

    workflow.init()
    assert concat.step(words.step()).run() == "hello world"


def test_the_fibonacci_recursive_workflow() -> None:
    @workflow.step
    def add(a: int, b: int) -> int:
        return a + b

    @workflow.step
    def fib(n: int) -> int:
        if n <= 1:
            return n
        return add.step(fib.step(n - 1), fib.step(n - 2))

    assert fib.step(10).run() == 55


class Flight(str):
    pass


class Hotel(str):
    pass


Reservation = Trip = Any


def test_the_trip_of_the_api_page() -> None:
    @steps_api.step
    def book_flight(origin: str, dest: str) -> Flight:
        return Flight(f"{origin}-{dest}")

    @steps_api.step(max_retries=3, catch_exceptions=False)
    def book_hotel(location: str) -> Reservation:
        return Hotel(location)

    @steps_api.step
    def finalize_trip(bookings: List[Any]) -> Trip:
        return ", ".join(bookings)

    flight1 = book_flight.step("OAK", "SAN")
    flight2 = book_flight.step("SAN", "OAK")
    hotel = book_hotel.step("SAN")
    trip = finalize_trip.step([flight1, flight2, hotel])
    result = trip.run()
    assert result == "OAK-SAN, SAN-OAK, SAN"
    assert ray.get(trip.run_async()) == result


def test_the_management_examples_of_the_api_page() -> None:
    workflow = steps_api

    @workflow.step
    def start_trip() -> str:
        return "trip"

    trip = start_trip.step()
    res1 = trip.run_async(workflow_id="trip1")
    ray.get(res1)
    res2 = workflow.resume("trip1")
    assert ray.get(res1) == ray.get(res2)
    trip = start_trip.options(name="trip", metadata={"k1": "v1"}).step()
    res1 = trip.run_async(workflow_id="trip2", metadata={"k2": "v2"})
    res2 = workflow.get_output("trip2")
    assert ray.get(res1) == ray.get(res2)
    step_output = workflow.get_output("trip2", "trip")
    assert ray.get(step_output) == ray.get(res1)

    workflow_metadata = workflow.get_metadata("trip2")
    assert workflow_metadata["status"] == "SUCCESSFUL"
    assert workflow_metadata["user_metadata"] == {"k2": "v2"}
    assert "start_time" in workflow_metadata["stats"]
    assert "end_time" in workflow_metadata["stats"]
    step_metadata = workflow.get_metadata("trip2", "trip")
    assert step_metadata["step_type"] == "FUNCTION"
    assert step_metadata["user_metadata"] == {"k1": "v1"}
    assert "start_time" in step_metadata["stats"]
    assert "end_time" in step_metadata["stats"]


def test_the_failed_job_of_the_api_page(own_engine) -> None:
    own_engine()
    workflow = steps_api

    @workflow.step(max_retries=0)
    def failed_job():
        raise ValueError

    workflow_step = failed_job.step()
    output = workflow_step.run_async(workflow_id="failed_job")
    try:
        ray.get(output)
    except Exception:
        print("JobFailed")
    jobs = workflow.list_all()
    assert jobs == [("failed_job", workflow.FAILED)]
    assert workflow.resume_all(include_failed=True).get("failed_job") is not None
