"""Workflows from every place that a program may call from."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from rayflow import workflow
from tests.cluster import CHECKOUT
from tests.waiting import until

PROGRAM = Path(__file__).with_name("anywhere_program.py")


@ray.remote
def double(n: int) -> int:
    return n * 2


@ray.remote
def waits(flag: str) -> str:
    until(Path(flag).exists)
    return "seen"


@pytest.mark.parametrize(
    ("call", "answer"),
    [("run", "6"), ("run_async", "6"), ("get_output", "8"), ("list_all", "SUCCESSFUL")],
)
def test_a_function_works_as_the_first_call_of_a_program(
    engine: str, call: str, answer: str
) -> None:
    if (
        call in ("get_output", "list_all")
        and ("first-known", "SUCCESSFUL") not in workflow.list_all()
    ):
        workflow.run(double.bind(4), workflow_id="first-known")
    kept = {
        k: v for k, v in os.environ.items() if k != "RAY_ADDRESS" and not k.startswith("RAYFLOW_")
    }
    address = ray.get_runtime_context().gcs_address
    own = {"PYTHONPATH": CHECKOUT, "RAY_ADDRESS": address, "RAYFLOW_STORAGE": engine}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), call],
        env={**kept, **own},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert f"answer: {answer}" in done.stdout, done.stdout + done.stderr


def test_a_thread_that_is_not_the_main_one(engine: str) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(workflow.run(double.bind(1))))
    thread.start()
    thread.join(60)
    assert found == [2]


def test_twenty_threads_at_once(engine: str) -> None:
    with ThreadPoolExecutor(20) as threads:
        found = threads.map(lambda n: workflow.run(double.bind(double.bind(n))), range(20))
        assert list(found) == [n * 4 for n in range(20)]


async def test_asyncio_awaits_the_reference_and_submits_without_blocking_the_loop(
    engine: str, tmp_path: Path
) -> None:
    assert await workflow.run_async(double.bind(2)) == 4
    ref = await asyncio.to_thread(workflow.run_async, waits.bind(f"{tmp_path}/flag"))
    ticks = 0
    waiting = asyncio.ensure_future(asyncio.wait_for(ref, 60))
    while ticks < 3:  # the loop turns while the workflow runs
        await asyncio.sleep(0)
        ticks += 1
    assert not waiting.done()
    (tmp_path / "flag").touch()
    assert await waiting == "seen"


def test_a_ray_task(engine: str) -> None:
    @ray.remote(num_cpus=0)
    def caller(root: str) -> int:
        workflow.init(root)
        return int(workflow.run(double.bind(3)))

    assert ray.get(caller.remote(engine)) == 6


def test_actors_with_and_without_asyncio(engine: str) -> None:
    @ray.remote(num_cpus=0)
    class Caller:
        def call(self, root: str) -> int:
            workflow.init(root)
            return int(workflow.run(double.bind(4)))

    @ray.remote(num_cpus=0)
    class AsyncCaller:
        async def call(self, root: str, n: int) -> int:
            await asyncio.to_thread(workflow.init, root)
            return int(await (await asyncio.to_thread(workflow.run_async, double.bind(n))))

    assert ray.get(Caller.remote().call.remote(engine)) == 8
    actor = AsyncCaller.remote()
    assert ray.get([actor.call.remote(engine, n) for n in range(3)]) == [0, 2, 4]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray Serve's own imports
def test_a_replica_of_ray_serve(engine: str) -> None:
    from ray import serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    @serve.deployment(ray_actor_options={"num_cpus": 0})
    class Front:
        def __init__(self, root: str) -> None:
            workflow.init(root)

        async def __call__(self, request: object) -> str:
            ref = await asyncio.to_thread(workflow.run_async, double.bind(21))
            return str(await ref)

    serve.start(http_options={"host": "127.0.0.1", "port": port})
    try:
        serve.run(Front.bind(engine), name="rayflow-test", route_prefix="/")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert answer.read() == b"42"
    finally:
        serve.shutdown()
        workflow.init(engine)


def test_a_thousand_waiting_programs_do_not_hold_up_a_question(engine: str, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    workflow.run_async(waits.bind(str(flag)), workflow_id="asked-by-many")
    refs = [workflow.get_output_async("asked-by-many") for _ in range(1100)]
    assert workflow.get_status("asked-by-many") == workflow.RUNNING
    flag.touch()
    assert set(ray.get(refs)) == {"seen"}


def test_a_workflow_that_starts_is_never_listed_as_resumable(engine: str) -> None:
    done = threading.Event()
    seen: set[str] = set()

    def look() -> None:
        while not done.is_set():
            seen.update(s for i, s in workflow.list_all() if i.startswith("starting-"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        refs = [workflow.run_async(double.bind(n), workflow_id=f"starting-{n}") for n in range(20)]
        ray.get(refs)
    finally:
        done.set()
        watcher.join(60)
    assert seen <= {workflow.PENDING, workflow.RUNNING, workflow.SUCCESSFUL}


def test_an_interrupted_workflow_says_what_it_is_and_only_its_id_resumes_a_suspended_one(
    engine: str, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    workflow.run_async(waits.bind(str(flag)), workflow_id="said-resumable")
    workflow.suspend("said-resumable")
    with pytest.raises(ValueError, match="'said-resumable' is RESUMABLE"):
        workflow.get_output("said-resumable")
    with pytest.raises(ValueError, match="no-such-task"):
        workflow.get_output("said-resumable", task_id="no-such-task")
    assert "said-resumable" not in dict(workflow.resume_all())
    flag.touch()
    assert workflow.resume("said-resumable") == "seen"
    with pytest.raises(ValueError, match="no-such-task"):
        workflow.get_output("said-resumable", task_id="no-such-task")
