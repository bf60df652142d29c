"""kill -9 of task workers, the engine, the driver and the whole cluster, in the middle of runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import ray

from rayflow import workflow
from rayflow.storage import layout
from tests.cluster import CHECKOUT
from tests.crash.ledger import assert_nothing_recorded_ran_again, executions, note, process_of
from tests.killing import kill_all
from tests.waiting import PATIENCE, until


@ray.remote
def step(ledger: str, name: str, seconds: float, *values: int) -> int:
    note(ledger, name)
    time.sleep(seconds)
    while name.startswith("wide") and held(Path(ledger)).exists():
        time.sleep(0.02)
    return 1 + sum(values)


def held(ledger: Path) -> Path:
    """As long as this file exists the tasks of the fan-out do not end."""
    return ledger.with_suffix(".held")


def build(ledger: Path, chain: int = 12, width: int = 8, seconds: float = 0.05) -> Any:
    """A chain, then a fan-out, then a task that joins: its value is ``(chain + 1) * width + 1``."""

    def task(name: str, *upstream: Any) -> Any:
        named = step.options(max_retries=20, **workflow.options(task_id=name))
        return named.bind(str(ledger), name, seconds, *upstream)

    link = task("link-0")
    for number in range(1, chain):
        link = task(f"link-{number}", link)
    return task("join", *[task(f"wide-{n}", link) for n in range(width)])


def has_run(ledger: Path, name: str) -> bool:
    return ledger.exists() and name in executions(ledger)


def engine_pid(root: str, number: int = 0) -> int:
    owner = json.loads((Path(root) / layout.of_engine(layout.OWNER, number)).read_text())
    return int(owner["cluster"].rpartition(":")[2])


def test_a_run_survives_kills_of_its_task_processes(engine: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    ref = workflow.run_async(build(ledger), workflow_id="workers-die")
    for victim in ("link-2", "link-6", "wide-1"):
        until(lambda victim=victim: has_run(ledger, victim))  # type: ignore[misc]
        os.kill(process_of(ledger, victim), signal.SIGKILL)

    assert ray.get(ref) == 13 * 8 + 1
    assert_nothing_recorded_ran_again(engine, "workers-die", ledger)


def test_a_run_survives_kills_of_the_engine(own_engine: Callable[..., str], tmp_path: Path) -> None:
    root, ledger = own_engine(), tmp_path / "ledger"
    ref = workflow.run_async(build(ledger), workflow_id="engine-dies")
    for moment in ("link-3", "wide-2"):
        until(lambda moment=moment: has_run(ledger, moment))  # type: ignore[misc]
        os.kill(engine_pid(root), signal.SIGKILL)

    assert ray.get(ref, timeout=PATIENCE) == 13 * 8 + 1
    assert workflow.get_status("engine-dies") == workflow.SUCCESSFUL
    assert_nothing_recorded_ran_again(root, "engine-dies", ledger)


def test_a_program_that_waits_in_run_gets_its_value_although_the_engine_is_killed(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, ledger = own_engine(), tmp_path / "ledger"
    with ThreadPoolExecutor(1) as program:
        waits = program.submit(workflow.run, build(ledger), workflow_id="waited-for")
        for moment in ("link-3", "wide-2"):
            until(lambda moment=moment: has_run(ledger, moment))  # type: ignore[misc]
            os.kill(engine_pid(root), signal.SIGKILL)
        assert waits.result(timeout=PATIENCE) == 13 * 8 + 1
    assert_nothing_recorded_ran_again(root, "waited-for", ledger)


def test_pending_and_running_keep_their_places_when_the_engine_is_killed(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root = own_engine(max_running_workflows=1)
    ledgers = [tmp_path / f"ledger-{n}" for n in range(3)]
    refs = [
        workflow.run_async(build(ledger, chain=4, width=2), workflow_id=f"queued-{n}")
        for n, ledger in enumerate(ledgers)
    ]
    until(lambda: has_run(ledgers[0], "link-1"))
    os.kill(engine_pid(root), signal.SIGKILL)

    assert ray.get(refs, timeout=PATIENCE) == [11, 11, 11]
    for number, ledger in enumerate(ledgers):
        assert_nothing_recorded_ran_again(root, f"queued-{number}", ledger)
    first_lines = [float(ledger.read_text().split()[1]) for ledger in ledgers]
    assert first_lines == sorted(first_lines)


DRIVER = """
import os, sys, ray
from pathlib import Path
from rayflow import workflow
from tests.crash.test_kills import build
command, root, ledger, *rest = sys.argv[1:]
address = rest[0] if rest else "local"
ray.init(address=address, num_cpus=None if rest else 4, include_dashboard=None if rest else False,
         object_store_memory=None if rest else 200 * 2**20, namespace="rayflow", log_to_driver=False)
workflow.init(root)
if command == "start":
    workflow.run_async(build(Path(ledger), chain=20), workflow_id="outlives")
    print("started", flush=True)
    sys.stdin.read()
else:
    print(workflow.get_status("outlives"), flush=True)
    print(workflow.resume("outlives"), flush=True)
"""


def driver(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": CHECKOUT}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def test_a_run_survives_its_driver(engine: str, tmp_path: Path) -> None:
    ledger, root = tmp_path / "ledger", engine
    address = ray.get_runtime_context().gcs_address
    with driver("start", root, str(ledger), address) as process:
        until(lambda: has_run(ledger, "link-1"))
        process.kill()

    assert workflow.get_output("outlives") == 21 * 8 + 1
    assert executions(ledger).most_common(1)[0][1] == 1


def test_a_run_is_resumed_on_a_new_cluster_when_the_whole_cluster_was_killed(
    tmp_path: Path,
) -> None:
    ledger, root = tmp_path / "ledger", str(tmp_path / "root")
    with driver("start", root, str(ledger)) as process:
        until(lambda: has_run(ledger, "link-8"))
        tree = [*psutil.Process(process.pid).children(recursive=True)]
        kill_all([*tree, psutil.Process(process.pid)])
        psutil.wait_procs(tree, timeout=20)

    with driver("resume", root, str(ledger)) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert output.split() == ["RESUMABLE", str(21 * 8 + 1)]
    assert_nothing_recorded_ran_again(root, "outlives", ledger)
