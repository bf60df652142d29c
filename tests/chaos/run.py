"""One chaos run: clusters, programs that submit, and everything that kills them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from rayflow.core.records import WorkflowStatus
from rayflow.reader import open_root
from tests.chaos.checks import Verdict, check, read
from tests.chaos.flows import build, name_of
from tests.crash.clusters import OwnCluster, is_alive
from tests.crash.test_kills import engine_pid
from tests.killing import kill_all
from tests.waiting import until

DECK = ["worker"] * 8 + ["engine"] * 4 + ["driver"] * 3 + ["node"] * 2 + ["cluster", "stop"]
SHORT_DECK = ["worker", "engine", "driver", "worker", "cluster"]
SETTLE_SECONDS = 240.0


class Chaos:
    """Everything random comes from ``seed``; what the machine makes of it does not.

    Args:
        folder: where the root and the ledger go.
        engines: how many share the root.
        seconds: how long to kill; at least one deck of kills is played.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workflows: int,
        seconds: float,
        seed: int,
        short: bool,
        engines: int = 1,
    ) -> None:
        self.root, self.ledger = str(folder / "root"), folder / "ledger"
        self.ledger.touch()
        self.kills: Counter[str] = Counter()
        self.problems: list[str] = []
        self._random = random.Random(seed)
        self._workflows, self._seconds, self._deck = (
            workflows,
            seconds,
            SHORT_DECK if short else DECK,
        )
        self._engines = engines
        self._accepted: set[int] = set()
        self._overtaken: dict[str, float] = {}
        self._clusters: list[OwnCluster] = []
        self._driver: subprocess.Popen[str] | None = None
        self._is_ready = threading.Event()

    def run(self) -> Verdict:
        """Kill, let everything end, and check."""
        try:
            self._new_cluster()
            self._new_driver()
            until(self._is_ready.is_set)
            begun, round_ = time.monotonic(), 0
            while round_ == 0 or time.monotonic() < begun + self._seconds:
                round_ += 1
                self._play(begun if round_ > 1 else None)
            self._settle()
            verdict = check(self.root, self.ledger, self._names(), self._overtaken)
            verdict.problems += self.problems + self._wrong_values()
        finally:
            for cluster in self._clusters:
                cluster.kill()
        left = [p for cluster in self._clusters for p in cluster.processes()]
        verdict.problems += [f"still running: {process}" for process in left]
        return verdict

    def _play(self, begun: float | None) -> None:
        """One deck of kills, in any order."""
        for kind in self._random.sample(self._deck, len(self._deck)):
            if begun is not None and time.monotonic() > begun + self._seconds:
                return
            time.sleep(self._random.uniform(0.5, 2.5))  # a random moment, not a synchronisation
            self._look_after_driver()
            if getattr(self, f"_kill_{kind}")():
                self.kills[kind] += 1
                print(f"{time.strftime('%H:%M:%S')} {kind}", flush=True)

    @property
    def _cluster(self) -> OwnCluster:
        return self._clusters[-1]

    def _new_cluster(self) -> None:
        self._clusters.append(OwnCluster(cpus=2))
        self._cluster.add_node(cpus=2)

    def _names(self) -> set[str]:
        return {name_of(number) for number in self._accepted}

    def _new_driver(self, command: str = "submit") -> None:
        left = [str(n) for n in range(self._workflows) if n not in self._accepted]
        pace = 0.6 * self._seconds / self._workflows
        self._is_ready.clear()
        rest = [str(self.ledger), str(pace), *left] if command == "submit" else []
        how = command, self.root, str(self._engines), *rest
        driver = self._cluster.program("tests.chaos.driver", *how)
        self._driver = driver
        threading.Thread(target=self._listen, args=(driver,), daemon=True).start()

    def _listen(self, driver: subprocess.Popen[str]) -> None:
        assert driver.stdout is not None
        for line in driver.stdout:
            if line.strip() == "ready":
                self._is_ready.set()
            elif line.strip().isdigit():
                self._accepted.add(int(line))

    def _look_after_driver(self) -> None:
        """A program that has died with its cluster or node is started again, like a supervisor would."""
        assert self._driver is not None
        if self._driver.poll() is not None and len(self._accepted) < self._workflows:
            self._new_driver()

    def _kill_worker(self) -> bool:
        """A process in which a body has begun lately, and runs on."""
        lately = [line for line in read(self.ledger)[-8:] if line.cluster == self._cluster.mark]
        busy = [p for line in lately if (p := _process(line.pid)) is not None]
        if not busy:
            return False
        kill_all([self._random.choice(busy)])
        return True

    def _kill_engine(self) -> bool:
        os.kill(self._living_engine(self._random.randrange(self._engines)), signal.SIGKILL)
        return True

    def _living_engine(self, number: int) -> int:
        """An engine's process; Ray may have to restart it first, or to find out that its node died."""
        until(lambda: psutil.pid_exists(engine_pid(self.root, number)))
        return engine_pid(self.root, number)

    def _kill_driver(self) -> bool:
        self._end_driver()
        self._new_driver()
        return True

    def _end_driver(self) -> None:
        assert self._driver is not None
        self._driver.kill()
        self._driver.wait()

    def _kill_node(self) -> bool:
        self._cluster.kill_node(self._cluster.nodes[-1])
        self._cluster.add_node(cpus=2)
        return True

    def _kill_cluster(self) -> bool:
        self._end_driver()
        self._cluster.kill()
        self._new_cluster()
        self._new_driver()
        until(self._is_ready.is_set)
        return True

    def _kill_stop(self) -> bool:
        """Stop the engines; when another cluster has taken the root over, let them go on."""
        old = self._cluster
        pids = [self._living_engine(number) for number in range(self._engines)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self._end_driver()
        self._new_cluster()
        self._new_driver()
        until(self._is_ready.is_set)
        self._overtaken[old.mark] = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(self._random.uniform(1, 5))  # how long both live is left to chance
        old.kill()
        return True

    def _settle(self) -> None:
        """Nobody kills any more: wait until all is submitted and ended."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._is_settled():
            if time.monotonic() > deadline:
                self.problems.append(f"not settled after {SETTLE_SECONDS:.0f} s")
                return
            time.sleep(0.5)
            assert self._driver is not None
            if self._driver.poll() is not None:
                self._new_driver("submit" if len(self._accepted) < self._workflows else "resume")

    def _is_settled(self) -> bool:
        entries = list(open_root(self.root).entries())  # with children and actors
        has_ended = all(entry.status == WorkflowStatus.SUCCESSFUL for entry in entries)
        return len(self._accepted) == self._workflows and has_ended

    def _wrong_values(self) -> list[str]:
        wanted = {name_of(n): build(n, str(self.ledger))[1] for n in sorted(self._accepted)}
        with self._cluster.program(
            "tests.chaos.driver", "values", self.root, str(self._engines), *wanted
        ) as program:
            said, _ = program.communicate(timeout=180)
        answers = [line for line in said.splitlines() if line.startswith("{")]  # Ray prints, too
        values = json.loads(answers[-1]) if answers else {}
        return [
            f"{flow}: its value is {values.get(flow)}, not {value}"
            for flow, value in wanted.items()
            if values.get(flow) != value
        ]


def _process(pid: int) -> psutil.Process | None:
    """The process, if it is still a Ray worker."""
    try:
        process = psutil.Process(pid)
        return process if is_alive(process) and "ray::" in process.name() else None
    except psutil.Error:
        return None
