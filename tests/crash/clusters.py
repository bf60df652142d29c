"""Ray clusters in processes of their own: with their own ports and folders, and killed exactly.

The process that makes one is not connected to it; programs that use it are processes too.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psutil
import ray

from tests.cluster import CHECKOUT
from tests.killing import kill_all
from tests.waiting import until

MARK = "RAYFLOW_TEST_CLUSTER"
# A node that is gone is found out within seconds. Programs find the cluster by its address alone.
SETTINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}


class OwnCluster:
    """A head and as many further nodes as asked for; every process carries a mark.

    Args:
        cpus: of the head.
        object_store: bytes of shared memory for each node.
        gpus: of the head; Ray only counts them.
    """

    def __init__(self, cpus: int = 2, *, object_store: int = 100 * 2**20, gpus: int = 0) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="rf-"))  # short: sockets lie below it
        self.nodes: list[subprocess.Popen[bytes]] = []
        self._store = object_store
        port = free_port()
        self.address = f"{ray.util.get_node_ip_address()}:{port}"
        head = ["--head", f"--port={port}", f"--num-gpus={gpus}", "--include-dashboard=false"]
        try:
            self._start_node(cpus, *head, f"--temp-dir={self.folder}")
            self._await_nodes()
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> OwnCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def add_node(self, cpus: int = 2) -> subprocess.Popen[bytes]:
        """A further node with a raylet of its own on this machine; returns when it has joined."""
        node = self._start_node(cpus, f"--address={self.address}")
        self._await_nodes()
        return node

    def program(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Start ``python -m module ADDRESS ARGUMENTS`` with pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", module, self.address, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment(),
        )  # fmt: skip

    def kill_node(self, node: subprocess.Popen[bytes]) -> None:
        """kill -9 of the raylet; what it started dies with it. Returns when the head knows."""
        (raylet,) = [p for p in descendants(node.pid) if _name(p) == "raylet"]
        raylet.kill()
        until(lambda: not is_alive(raylet))
        node.wait(60)  # `ray start --block` ends when a part of its node has died
        self.nodes.remove(node)
        self._await_nodes()

    def kill(self) -> None:
        """kill -9 of everything that this cluster and its programs ever started."""
        deadline = time.monotonic() + 30
        while processes := self.processes():
            kill_all(processes)
            psutil.wait_procs(processes, timeout=5)
            assert time.monotonic() < deadline, f"these cannot be killed: {processes}"
        for node in self.nodes:
            node.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """All living processes that carry the mark."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _start_node(self, cpus: int, *options: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", *options, f"--num-cpus={cpus}",
            f"--object-store-memory={self._store}", "--block",
            "--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0",
            "--dashboard-agent-listen-port=0", "--include-log-monitor=false",
        ]  # fmt: skip
        with (self.folder / "nodes.log").open("ab") as log:
            node = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment()
            )
        self.nodes.append(node)
        return node

    def _await_nodes(self) -> None:
        """Wait until the head answers and counts the nodes that we count."""

        def answers() -> bool:
            assert self.nodes[0].poll() is None, (self.folder / "nodes.log").read_text()[-2000:]
            with socket.socket() as probe:
                host, _, port = self.address.rpartition(":")
                return probe.connect_ex((host, int(port))) == 0

        until(answers)
        with self.program("tests.crash.await_nodes", str(len(self.nodes))) as waiter:
            assert waiter.wait(60) == 0, (self.folder / "nodes.log").read_text()[-2000:]

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "RAYFLOW_"))}
        return {**kept, **SETTINGS, MARK: self.mark, "PYTHONPATH": CHECKOUT}

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.pid != os.getpid()
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(MARK) == self.mark
            )
        except psutil.Error:
            return False


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below ``pid``."""
    return list(psutil.Process(pid).children(recursive=True))


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""
