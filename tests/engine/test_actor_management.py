"""The life of a virtual actor on a real Ray: construction, replay, management, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from rayflow import workflow
from rayflow.workflow import exceptions
from tests.cluster import CHECKOUT
from tests.crash.test_kills import engine_pid
from tests.engine.actors import Counter, plus
from tests.waiting import PATIENCE, until

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


def test_what_is_read_is_the_last_state_however_often_an_actor_comes_and_goes(counter: Any) -> None:
    for n in range(10, 14):
        workflow.suspend("counter")  # nothing of it runs: it is only put away
        assert [counter.get.run(), workflow.get_actor("counter").get.run()] == [n, n]
        assert counter.incr.run() == n + 1
    assert workflow.get_output("counter") == {"x": 14}


def test_actors_take_no_places_of_the_limits(own_engine: Callable[..., str]) -> None:
    own_engine(max_running_workflows=1, max_pending_workflows=0)
    actors = [Counter.get_or_create(f"unlimited-{n}") for n in range(3)]
    assert [actor.incr.run() for actor in actors] == [1, 1, 1]
    assert workflow.run(total.bind(1, 2)) == 3
    assert [actor.incr.run() for actor in actors] == [2, 2, 2]


def test_actors_take_no_places_when_an_engine_carries_on(own_engine: Callable[..., str]) -> None:
    root = own_engine(max_running_workflows=1, max_pending_workflows=0)
    actors = [Counter.get_or_create(f"unlimited-{n}") for n in range(3)]
    for actor in actors:
        actor.await_payment.run()  # so each of them is RUNNING
    ref = workflow.run_async(total.bind(workflow.wait_for_signal("go")), workflow_id="waits")
    os.kill(engine_pid(root), signal.SIGKILL)
    for actor in actors:
        workflow.signal(actor.actor_id, "paid", 5)
    workflow.signal("waits", "go", 7)
    assert ray.get(ref) == 7
    until(lambda: [actor.get.run() for actor in actors] == [5, 5, 5])


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
        json.loads(program.communicate(timeout=PATIENCE)[0].splitlines()[-1])
        for program in programs
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


def test_actors_that_nobody_calls_hold_no_process_and_no_cpu(engine: str) -> None:
    actors = [Counter.get_or_create(f"idle-{n}") for n in range(40)]
    assert ray.get([actor.incr.run_async() for actor in actors]) == [1] * 40
    everything = ray.cluster_resources()["CPU"]
    until(lambda: ray.available_resources().get("CPU") == everything)
    assert {workflow.get_status(f"idle-{n}") for n in range(40)} == {workflow.SUCCESSFUL}
    workers = [p for p in psutil.Process().children(recursive=True) if "ray::" in p.name()]
    assert len(workers) < 20  # Ray's own, kept for whatever comes next
    assert [actor.incr.run() for actor in actors] == [2] * 40


def test_a_handle_finds_its_engine_wherever_it_travels(own_engine: Callable[..., str]) -> None:
    @ray.remote
    def count(*actors: Any) -> list[int]:
        return [actor.incr.run() for actor in actors]

    own_engine("one")
    one = Counter.get_or_create("counter", 10)
    own_engine("two")
    two = Counter.get_or_create("counter", 20)
    assert ray.get(count.remote(one, two, one)) == [11, 21, 12]
    assert (one.get.run(), two.get.run()) == (12, 21)


def test_a_worker_serves_the_tasks_of_several_engines(own_engine: Callable[..., str]) -> None:
    @ray.remote
    def known() -> list[str]:
        return [workflow_id for workflow_id, _ in workflow.list_all()]

    for number, name in enumerate(["one", "two", "one", "two"]):
        own_engine(name)
        found = workflow.run(known.bind(), workflow_id=f"{name}{number}")
        assert {workflow_id.rstrip("0123") for workflow_id in found} == {name}
