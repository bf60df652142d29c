"""Calls of virtual actors on a real Ray: order, readers, states, failures, graphs, timers, events."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray

from rayflow import signals, workflow
from rayflow.workflow import exceptions
from tests.engine.actors import Counter, Registry
from tests.waiting import until


def test_a_counter_counts_and_is_read(counter: Any) -> None:
    assert counter.get.run() == 10
    assert counter.incr.run() == 11
    assert ray.get(counter.incr.run_async(n=4)) == 15
    assert counter.get.run() == ray.get(counter.get.run_async()) == 15
    assert counter.double.run(21) == 42
    assert counter.actor_id == "counter"
    assert ("counter", workflow.SUCCESSFUL) in workflow.list_all()
    assert workflow.get_output("counter") == {"x": 15}


def test_an_actor_that_exists_keeps_its_class_and_its_state(counter: Any) -> None:
    counter.incr.run()

    @workflow.virtual_actor
    class Other:
        def other(self) -> None: ...

    same = Other.get_or_create("counter")
    assert same.get.run() == 11
    with pytest.raises(AttributeError, match=r"'counter' of class Counter has no method 'other'"):
        _ = same.other
    assert Counter.get_or_create("counter", 500).get.run() == 11


def test_calls_of_one_thread_are_run_in_their_order(counter: Any) -> None:
    refs = [counter.incr.run_async() for _ in range(50)]
    assert ray.get(refs) == list(range(11, 61))


def test_a_failed_call_is_its_own_and_the_calls_after_it_go_on(counter: Any) -> None:
    before, failing, after = (
        counter.incr.run_async(),
        counter.fail.options(max_retries=0).run_async(),
        counter.incr.run_async(),
    )
    assert ray.get([before, after]) == [11, 12]
    with pytest.raises(exceptions.VirtualActorCallError, match=r"ValueError: no") as caught:
        ray.get(failing)
    assert caught.value.workflow_id == "counter"
    assert caught.value.call.endswith("Counter.fail")
    assert workflow.get_status("counter") == workflow.SUCCESSFUL
    assert workflow.get_metadata("counter", caught.value.call)["attempts"][0]["status"] == "FAILED"


def test_a_writer_is_tried_again_three_times_unless_options_say_otherwise(
    counter: Any, tmp_path: Path
) -> None:
    with pytest.raises(exceptions.VirtualActorCallError) as caught:
        counter.fail_until.run(str(tmp_path / "never"))
    assert len(workflow.get_metadata("counter", caught.value.call)["attempts"]) == 4
    with pytest.raises(exceptions.VirtualActorCallError) as caught:
        counter.fail_until.options(name="once").run(str(tmp_path / "never"))
    assert len(workflow.get_metadata("counter", "once")["attempts"]) == 1
    assert counter.incr.run() == 11


def test_caught_exceptions_are_values_of_writers_and_readers(counter: Any) -> None:
    value, error = counter.fail.options(catch_exceptions=True).run()
    assert value is None
    assert isinstance(error, ValueError)
    assert counter.incr.options(catch_exceptions=True).run() == (11, None)
    value, error = counter.broken_reader.options(catch_exceptions=True).run()
    assert value is None
    assert isinstance(error, KeyError)
    assert counter.get.run() == 11


def test_readers_fail_alone_and_return_no_workflow(counter: Any) -> None:
    with pytest.raises(KeyError, match="reader"):
        counter.broken_reader.run()
    with pytest.raises(TypeError, match="only reads"):
        counter.wrong_reader.run()
    assert counter.incr.run() == 11


def test_calls_have_names_metadata_and_values_that_are_kept(counter: Any) -> None:
    named = counter.incr.options(name="add", metadata={"a": 1})
    assert [named.run(), named.options(metadata={"b": 2}).run(5)] == [11, 16]
    found = workflow.get_metadata("counter", "add_1")
    assert found["user_metadata"] == {"a": 1, "b": 2}
    assert found["task_options"]["task_type"] == "ACTOR_METHOD"
    assert workflow.get_output("counter", task_id="add") == 11
    assert workflow.get_output("counter", task_id="add_1") == 16


def test_a_call_id_makes_two_calls_one(counter: Any) -> None:
    once = counter.incr.options(call_id="payment-1")
    assert [once.run(), once.run(), ray.get(once.run_async())] == [11, 11, 11]
    assert counter.get.run() == 11


def test_methods_continue_as_steps_and_as_methods_of_their_own(counter: Any) -> None:
    assert counter.spread.run() == 6
    assert counter.get.run() == 11
    assert counter.add_up.run(2, 3) == 17  # 11 + 1, then + 5
    assert counter.countdown.run(5) == 23
    first, second = counter.countdown.run_async(3), counter.incr.run_async()
    assert ray.get([first, second]) == [27, 28]


def test_a_graph_that_fails_is_the_failure_of_its_call(counter: Any) -> None:
    with pytest.raises(exceptions.VirtualActorCallError, match="refused"):
        counter.spread_and_fail.run()
    assert counter.incr.run() == 12  # what the method had left before its graph began stays


def test_actors_call_each_other_but_not_themselves(engine: str) -> None:
    one, two = (Counter.get_or_create(name) for name in ("one", "two"))
    assert one.of_other.run(two, 7) == 7
    assert [one.get.run(), two.get.run()] == [1, 7]
    selfish = Counter.get_or_create("selfish")
    with pytest.raises(exceptions.VirtualActorCallError, match="would wait for itself"):
        selfish.of_myself.options(max_retries=0).run()
    assert selfish.incr.run() == 1


def test_a_timer_wakes_an_actor(counter: Any) -> None:
    counter.remind.run(0.3)
    assert counter.incr.run() == 12  # others have their turn meanwhile
    assert workflow.get_status("counter") == workflow.RUNNING
    until(lambda: counter.get.run() == 112)
    until(lambda: workflow.get_status("counter") == workflow.SUCCESSFUL)


def test_a_signal_reaches_an_actor_that_waits_and_one_that_will(counter: Any) -> None:
    counter.await_payment.run()
    assert counter.incr.run() == 11
    workflow.signal("counter", "paid", 50)
    until(lambda: counter.get.run() == 61)
    until(lambda: workflow.get_status("counter") == workflow.SUCCESSFUL)
    workflow.signal("counter", "paid", 1000)  # early: nothing of it waits
    counter.await_payment.run()
    until(lambda: counter.get.run() == 1061)


def test_events_of_listeners_and_over_http_reach_an_actor(counter: Any, tmp_path: Path) -> None:
    path = tmp_path / "event"
    counter.await_file.run(str(path))
    counter.await_post.run()
    path.write_text("5")
    until(lambda: counter.get.run() == 15)
    signals.send("event", "counter", "post", 100, key="once", by=None)
    signals.send("event", "counter", "post", 100, key="once", by=None)
    until(lambda: counter.get.run() == 115)
    until(lambda: workflow.get_status("counter") == workflow.SUCCESSFUL)


def test_a_method_starts_a_workflow_that_goes_its_own_way(counter: Any) -> None:
    assert counter.start_other.run() == "started-by-actor"
    assert workflow.get_output("started-by-actor") == 3
    assert workflow.get_metadata("counter")["children"][0]["child"] == "started-by-actor"


def test_a_process_that_dies_is_no_failure_of_the_call(counter: Any, tmp_path: Path) -> None:
    assert counter.die_until.options(max_retries=0).run(str(tmp_path / "died")) == 10


def test_a_resume_of_an_actor_would_run_nothing_that_has_ended(counter: Any) -> None:
    counter.incr.run()
    plan = workflow.plan_resume("counter")
    assert plan.runs == ()
    assert workflow.resume("counter") == {"x": 11}


def test_what_a_failed_method_wanted_later_does_not_come(counter: Any) -> None:
    with pytest.raises(exceptions.VirtualActorCallError):
        counter.remind_and_fail.options(max_retries=0).run()
    assert counter.incr.run() == 11
    assert workflow.get_status("counter") == workflow.SUCCESSFUL


def test_a_bound_method_is_a_task_that_calls_it_once(counter: Any, tmp_path: Path) -> None:
    @ray.remote
    def fail_once(total: int, mark: str) -> int:
        if not Path(mark).exists():
            Path(mark).touch()
            raise ValueError("once")
        return total

    total = counter.incr.options(name="count").bind(counter.double.bind(5))
    again = fail_once.options(max_retries=1, retry_exceptions=True).bind(
        total, str(tmp_path / "mark")
    )
    assert workflow.run(again, workflow_id="binds") == 20
    assert workflow.get_output("binds", task_id="count") == 20
    assert counter.get.run() == 20


def test_a_repeated_attempt_of_a_task_does_not_repeat_its_calls(
    counter: Any, tmp_path: Path
) -> None:
    @ray.remote(max_retries=2, retry_exceptions=True)
    def twice(actor: Any, mark: str) -> list[int]:
        found = [actor.incr.run(), actor.incr.run()]
        if not Path(mark).exists():
            Path(mark).touch()
            raise ValueError("after its calls")
        return found

    ran = workflow.run(twice.bind(counter, str(tmp_path / "mark")), workflow_id="repeats")
    assert ran == [11, 12]
    assert counter.get.run() == 12


def test_handles_and_methods_travel(counter: Any) -> None:
    @ray.remote
    def use(actor: Any, method: Any) -> tuple[int, int]:
        return actor.incr.run(), method.run(10)

    assert ray.get(use.remote(counter, counter.incr)) == (11, 21)
    assert pickle.loads(pickle.dumps(counter)).get.run() == 21
    assert workflow.get_actor("counter").get.run() == 21


def test_a_state_is_what_getstate_gives(engine: str) -> None:
    registry = Registry.get_or_create("registry")
    assert registry.add.run("b") == ["b", "set"]
    assert registry.add.run("a") == ["a", "b", "set"]
    assert workflow.get_output("registry") == {"a", "b", "set"}


def test_a_state_may_be_of_tables_and_arrays(engine: str) -> None:
    @workflow.virtual_actor
    class Board:
        def __init__(self) -> None:
            self.table, self.array, self.n = pa.table({"a": [1]}), np.zeros(3), {"n": [1, None]}

        def grow(self) -> tuple[int, float]:
            self.table = pa.concat_tables([self.table, self.table])
            self.array = self.array + 1
            return self.table.num_rows, float(self.array.sum())

    board = Board.get_or_create("board")
    assert [board.grow.run(), board.grow.run()] == [(2, 3.0), (4, 6.0)]


def test_a_large_state_goes_from_call_to_call(engine: str) -> None:
    @workflow.virtual_actor
    class Heap:
        def __init__(self) -> None:
            self.data = np.zeros(50_000)

        def add(self) -> float:
            self.data = self.data + 1
            return float(self.data[-1])

        def all(self) -> Any:
            return self.data

    heap = Heap.get_or_create("heap")
    assert ray.get([heap.add.run_async() for _ in range(5)]) == [1, 2, 3, 4, 5]
    values = [key for key in Path(engine).rglob("values/*Heap*/*") if key.is_file()]
    assert heap.all.run().sum() == 250_000
    for _ in range(3):
        heap.add.run()
    until(lambda: sum(key.exists() for key in values) == 0)  # of each state the last two are kept


def test_an_actor_migrates_to_another_class(counter: Any) -> None:
    @workflow.virtual_actor
    class Tally:
        def total(self) -> int:
            self.total_ += 1
            return self.total_

    def convert(state: dict[str, Any]) -> dict[str, Any]:
        return {"total_": state["x"] * 100}

    other = workflow.get_actor("counter")
    assert other.get.run() == 10
    counter.migrate(Tally, convert)
    assert counter.total.run() == 1001
    assert other.total.run() == 1002
    with pytest.raises(AttributeError):
        _ = counter.incr
    with pytest.raises(exceptions.VirtualActorCallError, match="KeyError"):
        counter.migrate(Counter, lambda state: {"x": state["nothing"]})
    assert counter.total.run() == 1003
