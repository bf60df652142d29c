"""Virtual actors on a real Ray: calls, readers, states, failures, graphs, timers, events."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray

from rayflow import workflow
from rayflow.workflow import exceptions
from tests.cluster import CHECKOUT
from tests.waiting import until


@workflow.virtual_actor
class Counter:
    def __init__(self, x: int = 0) -> None:
        self.x = x

    @workflow.virtual_actor.readonly
    def get(self) -> int:
        self.x += 1000  # is gone with the instance
        return self.x - 1000

    @workflow.virtual_actor.readonly
    def broken_reader(self) -> None:
        raise KeyError("reader")

    @workflow.virtual_actor.readonly
    def wrong_reader(self) -> Any:
        return plus.step(1, 2)

    def incr(self, n: int = 1) -> int:
        self.x += n
        return self.x

    def fail(self) -> None:
        self.x = -1
        raise ValueError("no")

    def fail_until(self, path: str) -> int:
        self.x += 1
        if not Path(path).exists():
            raise ValueError("not yet")
        return self.x

    def countdown(self, n: int) -> Any:
        self.x += 1
        return self.countdown.step(n - 1) if n else self.x

    def add_up(self, a: int, b: int) -> Any:
        self.x += 1
        return self.incr.step(plus.step(a, b))

    def spread(self) -> Any:
        self.x += 1
        return plus.step(plus.step(1, 2), 3)

    def spread_and_fail(self) -> Any:
        self.x += 1
        return plus.step(refuse.step(), 3)

    def wrong(self) -> Any:
        self.lock = threading.Lock()

    @staticmethod
    def double(n: int) -> int:
        return 2 * n

    def of_other(self, other: Any, n: int) -> int:
        self.x += 1
        return int(other.incr.run(n))

    def of_myself(self) -> int:
        return int(workflow.get_actor("selfish").incr.run())

    def remind(self, seconds: float) -> None:
        self.x += 1
        workflow.later(self.incr.step(pick.step(100, workflow.sleep(seconds))))

    def await_payment(self) -> None:
        workflow.later(self.incr.step(workflow.wait_for_signal("paid")))

    def remind_and_fail(self) -> None:
        workflow.later(self.incr.step(1000))
        raise ValueError("no")


@workflow.step
def plus(a: int, b: int) -> int:
    return a + b


@workflow.step
def pick(value: int, _waited: Any) -> int:
    return value


@workflow.step(max_retries=0)
def refuse() -> int:
    raise ValueError("refused")


@workflow.virtual_actor
class Registry:
    """Says itself what is stored of it."""

    def __init__(self) -> None:
        self.lock, self.names = threading.Lock(), {"set"}

    def add(self, name: str) -> list[str]:
        with self.lock:
            self.names.add(name)
        return sorted(self.names)

    def __getstate__(self) -> set[str]:
        return self.names

    def __setstate__(self, state: set[str]) -> None:
        self.lock, self.names = threading.Lock(), state


@pytest.fixture
def counter(engine: str) -> Iterator[Any]:
    actor = Counter.get_or_create("counter", 10)
    ray.get(actor.ready())
    yield actor
    if dict(workflow.list_all()).get("counter") == workflow.RUNNING:
        workflow.cancel("counter")
    if "counter" in dict(workflow.list_all()):
        workflow.delete("counter")


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
    assert heap.all.run().sum() == 250_000


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


# --- construction --------------------------------------------------------------------------------------


@workflow.virtual_actor
class Careful:
    def __init__(self, path: str) -> None:
        if not Path(path).exists():
            raise OSError("not there")
        self.x = 0

    def incr(self) -> int:
        self.x += 1
        return self.x

    @workflow.virtual_actor.readonly
    def get(self) -> int:
        return self.x


def test_a_failed_constructor_is_told_and_may_run_again(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "there"
    actor = Careful.get_or_create("careful", str(path))
    with pytest.raises(exceptions.VirtualActorCallError, match="not there"):
        ray.get(actor.ready())
    with pytest.raises(exceptions.VirtualActorNotInitializedError):
        actor.get.run()
    with pytest.raises(exceptions.VirtualActorCallError, match="not initialized"):
        actor.incr.run()
    path.touch()
    again = Careful.get_or_create("careful", str(path))
    ray.get(again.ready())
    assert [actor.incr.run(), again.get.run()] == [1, 1]


def test_readers_before_the_constructor_has_run_are_told(engine: str, tmp_path: Path) -> None:
    @workflow.virtual_actor
    class Slow:
        def __init__(self, path: str) -> None:
            until(Path(path).exists)

        @workflow.virtual_actor.readonly
        def get(self) -> int:
            return 1

    actor = Slow.get_or_create("slow", str(tmp_path / "go"))
    with pytest.raises(
        exceptions.VirtualActorNotInitializedError, match="'slow' is not initialized"
    ):
        actor.get.run()
    (tmp_path / "go").touch()
    ray.get(actor.ready())
    assert actor.get.run() == 1


# --- the old way with failed calls ---------------------------------------------------------------------


@workflow.virtual_actor(replay_failed=True)
class Replaying:
    def __init__(self, path: str) -> None:
        if not Path(path).exists():
            raise OSError("not there")
        self.x = 0

    def incr(self) -> int:
        self.x += 1
        return self.x

    def fail_until(self, path: str) -> int:
        self.x += 1
        if not Path(path).exists():
            raise ValueError("not yet")
        return self.x


def test_with_replay_a_failed_call_runs_before_the_next_one(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "there"
    actor = Replaying.get_or_create("replays", str(path))
    with pytest.raises(exceptions.WorkflowExecutionError, match="not there"):
        actor.incr.run()
    assert workflow.get_status("replays") == workflow.FAILED
    path.touch()
    assert [actor.incr.run() for _ in range(9)] == list(range(2, 11))


def test_with_replay_a_resume_runs_what_had_failed(engine: str, tmp_path: Path) -> None:
    there, path = tmp_path / "there", tmp_path / "fixed"
    there.touch()
    actor = Replaying.get_or_create("replays-2", str(there))
    failing = actor.fail_until.options(name="f").run_async(str(path))
    behind = actor.incr.options(name="b").run_async()
    for ref in (failing, behind):
        with pytest.raises(exceptions.WorkflowExecutionError, match="not yet"):
            ray.get(ref)
    path.touch()
    workflow.resume("replays-2")
    until(lambda: workflow.get_status("replays-2") == workflow.SUCCESSFUL)
    assert [workflow.get_output("replays-2", task_id=t) for t in ("f", "b")] == [1, 2]


# --- management ----------------------------------------------------------------------------------------


def test_an_actor_is_deleted_cancelled_suspended_and_resumed(engine: str, tmp_path: Path) -> None:
    @workflow.virtual_actor
    class Waiter:
        def wait(self, path: str) -> str:
            until(Path(path).exists)
            return "waited"

        def quick(self) -> str:
            return "quick"

    path = tmp_path / "go"
    actor = Waiter.get_or_create("managed")
    long, behind = actor.wait.run_async(str(path)), actor.quick.run_async()
    until(lambda: workflow.get_status("managed") == workflow.RUNNING)
    with pytest.raises(exceptions.WorkflowStillActiveError):
        workflow.delete("managed")
    workflow.suspend("managed", force=True)
    assert workflow.get_status("managed") == workflow.RESUMABLE
    with pytest.raises(exceptions.WorkflowEndedError, match="suspended"):
        actor.quick.run()
    for ref in (long, behind):
        with pytest.raises(exceptions.WorkflowExecutionError):
            ray.get(ref)
    path.touch()
    workflow.resume("managed")
    until(lambda: workflow.get_status("managed") == workflow.SUCCESSFUL)
    assert actor.quick.run() == "quick"

    path.unlink()
    long = actor.wait.run_async(str(path))
    workflow.cancel("managed", force=True)
    assert workflow.get_status("managed") == workflow.CANCELED
    with pytest.raises(exceptions.WorkflowCancellationError):
        ray.get(long)
    with pytest.raises(exceptions.WorkflowEndedError, match="cancelled"):
        actor.quick.run()
    workflow.delete("managed")
    with pytest.raises(exceptions.VirtualActorNotFoundError):
        workflow.get_actor("managed")
    assert Waiter.get_or_create("managed").quick.run() == "quick"


def test_an_actor_at_rest_is_deleted_at_once_and_begins_anew(counter: Any) -> None:
    counter.incr.run()
    workflow.delete("counter")
    with pytest.raises(exceptions.VirtualActorNotFoundError):
        counter.get.run()
    anew = Counter.get_or_create("counter")
    ray.get(anew.ready())
    assert anew.get.run() == 0


def test_actors_take_no_places_of_the_limits(own_engine: Callable[..., str]) -> None:
    own_engine(max_running_workflows=1, max_pending_workflows=0)
    actors = [Counter.get_or_create(f"unlimited-{n}") for n in range(3)]
    assert [actor.incr.run() for actor in actors] == [1, 1, 1]
    assert workflow.run(total.bind(1, 2)) == 3
    assert [actor.incr.run() for actor in actors] == [2, 2, 2]


@ray.remote
def total(*values: int) -> int:
    return sum(values)


def test_many_writers_of_several_processes_keep_their_order(engine: str, counter: Any) -> None:
    """49 calls from 7 processes: each process sees its own in order, and all see each number once."""
    address = ray.get_runtime_context().gcs_address
    programs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engine.actor_program", address, "counter", "7"],
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env={**os.environ, "RAYFLOW_STORAGE": engine},
            text=True,
        )
        for _ in range(7)
    ]
    seen = [
        json.loads(program.communicate(timeout=120)[0].splitlines()[-1]) for program in programs
    ]
    assert all(numbers == sorted(numbers) for numbers in seen)
    assert sorted(number for numbers in seen for number in numbers) == list(range(11, 60))


# --- bad input -----------------------------------------------------------------------------------------


def test_what_is_no_actor_is_refused(engine: str) -> None:
    with pytest.raises(ValueError, match="has __getstate__ but no __setstate__"):

        @workflow.virtual_actor
        class Half:
            def __getstate__(self) -> int:
                return 1

    with pytest.raises(ValueError, match="has __setstate__ but no __getstate__"):

        @workflow.virtual_actor
        class OtherHalf:
            def __setstate__(self, state: int) -> None: ...

    with pytest.raises(TypeError, match="decorates a class"):
        workflow.virtual_actor(lambda: 1)
    with pytest.raises(TypeError, match="marks a method"):
        workflow.virtual_actor.readonly(5)
    with pytest.raises(TypeError, match=r"Counter\.get_or_create"):
        Counter(1)
    with pytest.raises(exceptions.InvalidWorkflowIdError):
        Counter.get_or_create("")
    with pytest.raises(TypeError, match="__init__ do not fit"):
        Counter.get_or_create("bad", 1, 2, 3)
    with pytest.raises(TypeError, match="has no __init__"):
        workflow.virtual_actor(type("Plain", (), {})).get_or_create("bad", 1)
    with pytest.raises(ValueError, match="No virtual actor has the id 'unknown'"):
        workflow.get_actor("unknown")
    workflow.run(total.bind(1), workflow_id="a-workflow")
    with pytest.raises(exceptions.VirtualActorNotFoundError, match="a-workflow"):
        workflow.get_actor("a-workflow")
    with pytest.raises(exceptions.VirtualActorNotFoundError, match="a-workflow"):
        Counter.get_or_create("a-workflow")
    with pytest.raises(RuntimeError, match=r"workflow\.later works inside"):
        workflow.later(None)


def test_bad_calls_are_refused_and_change_nothing(counter: Any) -> None:
    with pytest.raises(TypeError, match=r"incr\.run"):
        counter.incr(1)
    with pytest.raises(AttributeError, match="has no method 'nothing'"):
        counter.nothing.run()
    with pytest.raises(TypeError, match=r"Counter\.incr do not fit"):
        counter.incr.run(1, 2, 3)
    with pytest.raises(TypeError, match=r"Counter\.incr do not fit"):
        counter.incr.bind(m=1)
    with pytest.raises(ValueError, match="max_retries"):
        counter.incr.options(max_retries="two")
    with pytest.raises(TypeError, match="call_id"):
        counter.incr.options(call_id="")
    with pytest.raises(TypeError, match="migrate takes a class"):
        counter.migrate(dict)
    with pytest.raises(exceptions.SerializationError, match="arguments of task"):
        counter.incr.run(threading.Lock())
    with pytest.raises(
        exceptions.VirtualActorCallError, match=r"'lock' of type lock.*as it was"
    ) as e:
        counter.wrong.run()
    assert len(workflow.get_metadata("counter", e.value.call)["attempts"]) == 1  # no use in more
    with pytest.raises(exceptions.VirtualActorCallError, match="takes a call made with self"):
        LaterActor.get_or_create("odd").odd.options(max_retries=0).run()
    assert counter.incr.run() == 11


@workflow.virtual_actor
class LaterActor:
    def odd(self) -> None:
        workflow.later(plus.step(1, 2))
