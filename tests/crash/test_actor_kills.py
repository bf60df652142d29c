"""kill -9 around virtual actors: what callers have seen is possible, and no call is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import ray

from rayflow import workflow
from tests.cluster import CHECKOUT
from tests.crash.histories import Call, counter, is_linearizable, register
from tests.crash.test_kills import engine_pid
from tests.killing import kill_all
from tests.waiting import PATIENCE, until

CALLERS, CALLS, KILLS = 4, 25, 5


@workflow.virtual_actor
class Cell:
    """A counter and a register."""

    def __init__(self, pids: str) -> None:
        self.pids, self.total, self.value = pids, 0, 0

    def incr(self, n: int) -> int:
        self._note()
        self.total += n
        return self.total

    def write(self, value: int) -> None:
        self._note()
        self.value = value

    def swap(self, old: int, new: int) -> bool:
        self._note()
        if self.value != old:
            return False
        self.value = new
        return True

    @workflow.virtual_actor.readonly
    def total_now(self) -> int:
        return self.total

    @workflow.virtual_actor.readonly
    def value_now(self) -> int:
        return self.value

    def _note(self) -> None:
        Path(self.pids).write_text(str(os.getpid()))
        time.sleep(0.005)


class History:
    """What several callers ask of a cell, and what they see."""

    def __init__(self, cell: Any) -> None:
        self.calls: list[Call] = []
        self._cell = cell

    def counting(self, seed: int) -> None:
        """Count, and read the count now and then."""
        chance = random.Random(seed)
        for _ in range(CALLS):
            if chance.random() < 0.3:
                self._note(("get",), self._cell.total_now.run)
            else:
                n = chance.randint(1, 9)
                self._note(("incr", n), self._cell.incr.run, n)

    def writing(self, seed: int) -> None:
        """Write, swap and read."""
        chance = random.Random(seed)
        for number in range(CALLS):
            new = 1000 * seed + number
            what = chance.random()
            if what < 0.4:
                self._note(("get",), self._cell.value_now.run)
            elif what < 0.7:
                self._note(("write", new), self._cell.write.run, new)
            else:
                old = self._cell.value_now.run()
                self._note(("swap", old, new), self._cell.swap.run, old, new)

    def _note(self, asked: tuple[Any, ...], ask: Callable[..., Any], *arguments: Any) -> None:
        begin = time.monotonic()
        value = ask(*arguments)
        self.calls.append(Call(asked, value, begin, time.monotonic()))


def test_histories_under_kills_of_workers_and_engine_are_linearizable(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, pids = own_engine(), tmp_path / "pid"
    cell = Cell.get_or_create("cell", str(pids))
    ray.get(cell.ready())
    counts, writes = History(cell), History(cell)
    threads = [
        threading.Thread(target=work, args=(seed,))
        for seed in range(CALLERS)
        for work in (counts.counting, writes.writing)
    ]
    for thread in threads:
        thread.start()
    for kill in range(KILLS):
        pids.unlink(missing_ok=True)
        until(lambda: pids.exists() or not any(t.is_alive() for t in threads))
        if kill % 2:
            os.kill(engine_pid(root), signal.SIGKILL)
        elif pids.exists() and psutil.pid_exists(pid := int(pids.read_text() or 0)) and pid:
            os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(120)
    assert len(counts.calls) == CALLERS * CALLS
    assert is_linearizable(counts.calls, counter, 0)
    assert is_linearizable(writes.calls, register, 0)
    total = sum(call.asked[1] for call in counts.calls if call.asked[0] == "incr")
    assert cell.total_now.run() == total


PROGRAM = """
import os, sys, ray
from rayflow import workflow
from tests.crash.test_actor_kills import Slow
command, root, ledger = sys.argv[1:]
ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20,
         namespace="rayflow", log_to_driver=False)
workflow.init(root)
if command == "start":
    actor = Slow.get_or_create("slow", ledger)
    for number in range(6):
        actor.append.run_async(number)
    print("queued", flush=True)
    sys.stdin.read()
else:
    print(workflow.get_status("slow"), flush=True)
    print(workflow.get_actor("slow").append.run(6), flush=True)
"""


@workflow.virtual_actor
class Slow:
    def __init__(self, ledger: str) -> None:
        self.ledger, self.numbers = ledger, []

    def append(self, number: int) -> list[int]:
        with Path(self.ledger).open("a") as ledger:
            ledger.write(f"{number}\n")
        time.sleep(0.2)
        self.numbers.append(number)
        return self.numbers


def program(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": CHECKOUT}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def test_queued_calls_are_run_on_the_next_cluster_before_a_new_one(tmp_path: Path) -> None:
    root, ledger = str(tmp_path / "root"), tmp_path / "ledger"
    with program("start", root, str(ledger)) as process:
        until(lambda: ledger.exists() and len(ledger.read_text().split()) >= 3)
        kill_all(
            [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        )

    with program("call", root, str(ledger)) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert output.splitlines() == ["RESUMABLE", str(list(range(7)))]
    began = [int(line) for line in ledger.read_text().split()]
    assert all(began.count(number) == 1 for number in (0, 4, 5, 6))
    assert len(began) <= 7 + 2  # what was running and not recorded when the cluster died
