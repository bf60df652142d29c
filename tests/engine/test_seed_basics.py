"""The examples of the old library's "Getting Started" page, as written there but for one line:
``from ray import workflow`` is ``from rayflow import workflow``.

Each test is one listing or a few that follow each other. What the page prints is asserted.
"""

# The listings keep the style they were written in.
# ruff: noqa: C416, RET504, UP006, UP032, UP035, SIM105
# mypy: ignore-errors

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any, List, Tuple

import pytest
import ray

from rayflow import workflow
from tests.crash.clusters import OwnCluster
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.usefixtures("engine"),
    # The page compares with dag.execute(), which Ray has since deprecated.
    pytest.mark.filterwarnings("ignore:DAGNode.execute:DeprecationWarning"),
]


def test_your_first_workflow() -> None:
    @ray.remote
    def read_data(num: int):
        return [i for i in range(num)]

    @ray.remote
    def preprocessing(data: List[float]) -> List[float]:
        return [d**2 for d in data]

    @ray.remote
    def aggregate(data: List[float]) -> float:
        return sum(data)

    data = read_data.bind(10)
    preprocessed_data = preprocessing.bind(data)
    output = aggregate.bind(preprocessed_data)

    assert workflow.run(output) == 285
    output_ref = workflow.run_async(output)
    assert ray.get(output_ref) == 285


def test_setting_workflow_options() -> None:
    @workflow.options(checkpoint=True)
    @ray.remote(num_cpus=2, num_gpus=3, max_retries=5)
    def read_data(num: int):
        return [i for i in range(num)]

    read_data_with_options = read_data.options(
        num_cpus=1, num_gpus=1, **workflow.options(checkpoint=True)
    )
    assert read_data_with_options.bind(1) is not None


def test_retrieving_workflow_results() -> None:
    try:
        workflow.delete("add_example")
    except workflow.exceptions.WorkflowNotFoundError:
        pass

    @ray.remote
    def add(left: int, right: int) -> int:
        return left + right

    @ray.remote
    def get_val() -> int:
        return 10

    ret = add.bind(get_val.bind(), 20)
    assert workflow.run(ret, workflow_id="add_example") == 30
    assert workflow.get_output("add_example") == 30


def test_sub_task_results() -> None:
    workflow_id = "double"
    try:
        workflow.delete(workflow_id)
    except workflow.exceptions.WorkflowNotFoundError:
        pass

    @ray.remote
    def double(v):
        return 2 * v

    inner_task = double.options(**workflow.options(task_id="inner")).bind(1)
    outer_task = double.options(**workflow.options(task_id="outer")).bind(inner_task)
    result_ref = workflow.run_async(outer_task, workflow_id="double")
    inner = workflow.get_output_async(workflow_id, task_id="inner")
    outer = workflow.get_output_async(workflow_id, task_id="outer")

    assert ray.get(inner) == 2
    assert ray.get(outer) == 4
    assert ray.get(result_ref) == 4


def test_error_handling_options() -> None:
    @workflow.options(catch_exceptions=True)
    @ray.remote(max_retries=5, retry_exceptions=True)
    def faulty_function():
        pass

    node = faulty_function.options(
        max_retries=3, retry_exceptions=False, **workflow.options(catch_exceptions=False)
    ).bind()
    assert workflow.run(node) is None
    assert workflow.run(faulty_function.bind()) == (None, None)


def test_error_handling() -> None:
    @ray.remote
    def faulty_function() -> str:
        if random.random() > 0.5:
            raise RuntimeError("oops")
        return "OK"

    r1 = faulty_function.options(max_retries=5).bind()
    try:
        workflow.run(r1)
    except ray.exceptions.RayTaskError:
        pass

    @ray.remote
    def handle_errors(result: Tuple[str, Exception]):
        err = result[1]
        if err:
            return "There was an error: {}".format(err)
        else:
            return "OK"

    r2 = faulty_function.options(**workflow.options(catch_exceptions=True)).bind()
    assert workflow.run(handle_errors.bind(r2)) in ("OK", "There was an error: oops")


def test_a_failed_workflow_raises_rays_error_and_the_librarys_own() -> None:
    @ray.remote
    def faulty_function() -> str:
        raise RuntimeError("oops")

    with pytest.raises(ray.exceptions.RayTaskError, match="oops"):
        workflow.run(faulty_function.options(max_retries=5).bind())
    with pytest.raises(workflow.WorkflowExecutionError, match="oops"):
        workflow.run(faulty_function.options(max_retries=5).bind())


def test_a_non_idempotent_workflow() -> None:
    class FlightTicket:
        pass

    class service:
        @staticmethod
        def book_flight():
            return FlightTicket()

    @ray.remote
    def book_flight_unsafe() -> FlightTicket:
        ticket = service.book_flight()
        # Uh oh, what if we failed here?
        return ticket

    # UNSAFE: we could book multiple flight tickets
    assert type(workflow.run(book_flight_unsafe.bind())).__name__ == "FlightTicket"


def test_an_idempotent_workflow() -> None:
    class Service:
        def __init__(self) -> None:
            self.tickets: dict[str, str] = {}

        def has_ticket(self, request_id: str) -> bool:
            return request_id in self.tickets

        def get_ticket(self, request_id: str) -> str:
            return self.tickets[request_id]

        def book_flight(self, request_id: str) -> str:
            self.tickets[request_id] = f"ticket {request_id}"
            return self.tickets[request_id]

    service = Service()

    @ray.remote
    def generate_id() -> str:
        return uuid.uuid4().hex

    @ray.remote
    def book_flight_idempotent(request_id: str) -> Any:
        if service.has_ticket(request_id):
            return service.get_ticket(request_id)
        return service.book_flight(request_id)

    request_id = generate_id.bind()
    assert workflow.run(book_flight_idempotent.bind(request_id)).startswith("ticket ")


def test_ray_itself_does_not_run_a_node_that_a_task_returns(capsys) -> None:
    @ray.remote
    def bar():
        print("Hello from bar!")

    @ray.remote
    def foo():
        # This is evaluated at runtime, not in DAG construction.
        return bar.bind()

    # Executing `foo` returns the `bar` DAG node, *not* its result.
    print("Output of foo DAG:", type(ray.get(foo.bind().execute())))
    printed = "Output of foo DAG: <class 'ray.dag.function_node.FunctionNode'>"
    assert printed in capsys.readouterr().out


def test_a_dynamic_workflow() -> None:
    @ray.remote
    def bar():
        return 10

    @ray.remote
    def foo():
        return workflow.continuation(bar.bind())

    assert ray.get(foo.bind().execute()) == 10
    assert workflow.run(foo.bind()) == 10


def test_a_recursive_factorial() -> None:
    @ray.remote
    def factorial(n: int) -> int:
        if n == 1:
            return 1
        else:
            return workflow.continuation(multiply.bind(n, factorial.bind(n - 1)))

    @ray.remote
    def multiply(a: int, b: int) -> int:
        return a * b

    assert workflow.run(factorial.bind(10)) == 3628800
    assert ray.get(factorial.bind(10).execute()) == 3628800


def test_booking_a_trip() -> None:
    @ray.remote
    def book_flight(origin: str, dest: str, date: str) -> str:
        return f"{origin}-{dest} {date}"

    @ray.remote
    def book_hotel(dest: str, dates: List[str]) -> str:
        return f"hotel {dest}"

    @ray.remote
    def finalize_or_cancel(flights: List[Any], hotels: List[Any]) -> str:
        return ", ".join(ray.get(flights) + ray.get(hotels))

    @ray.remote
    def book_trip(origin: str, dest: str, dates) -> str:
        f1 = book_flight.bind(origin, dest, dates[0])
        f2 = book_flight.bind(dest, origin, dates[1])
        hotel = book_hotel.bind(dest, dates)
        return workflow.continuation(finalize_or_cancel.bind([f1, f2], [hotel]))

    receipt = workflow.run(book_trip.bind("OAK", "SAN", ["6/12", "7/5"]))
    assert receipt == "OAK-SAN 6/12, SAN-OAK 7/5, hotel SAN"


def test_passing_nested_arguments() -> None:
    @ray.remote
    def add(values: List[ray.ObjectRef]) -> int:
        return sum(ray.get(values))

    @ray.remote
    def get_val() -> int:
        return 10

    ret = add.bind([get_val.bind() for _ in range(3)])
    assert workflow.run(ret) == 30


def test_passing_object_references_between_tasks() -> None:
    @ray.remote
    def do_add(a, b):
        return a + b

    @ray.remote
    def add(a, b):
        return do_add.remote(a, b)

    # The page compares the result itself with 30. The old library gave a reference to 30 here,
    # as dag.execute() does: a task's value is dereferenced once, and this one is a reference.
    result = workflow.run(add.bind(ray.put(10), ray.put(20)))
    assert ray.get(result) == 30


def test_setting_custom_resources_for_tasks() -> None:
    @ray.remote
    def train_model():
        return "trained"

    assert train_model.options(num_gpus=1).bind() is not None
    assert workflow.run(train_model.options(num_cpus=2).bind()) == "trained"


def test_custom_resources_on_a_cluster_that_has_them(tmp_path: Path) -> None:
    with (
        OwnCluster(gpus=3) as cluster,
        cluster.program("tests.engine.seed_gpu_program", str(tmp_path / "root")) as program,
    ):
        assert program.communicate(timeout=PATIENCE)[0] == "[0, 1, 2] 3.0\n[0, 1, 2] 1.0\n1.0\n"
