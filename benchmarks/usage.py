"""What the processes of a run take: processor time and memory of the engine, the workers and the program."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

SAMPLE_SECONDS = 0.2
MEBIBYTE = 2**20


class Usage:
    """Seconds of processor time, and the most memory of one process in MiB, by role."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.mebibytes: dict[str, float] = defaultdict(float)
        self._first: dict[int, float] = {}
        self._last: dict[int, tuple[str, float]] = {}

    def look(self) -> None:
        """Take everything into account that has happened until now."""
        own, is_first = psutil.Process(), not self._last
        for process in [own, *own.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                role = "program" if process == own else _role(process)
                times = process.cpu_times()
                seconds = times.user + times.system
                self._first.setdefault(process.pid, seconds if is_first else 0.0)
                self._last[process.pid] = role, seconds
                memory = process.memory_info().rss / MEBIBYTE
                self.mebibytes[role] = max(self.mebibytes[role], memory)

    def sum_up(self) -> None:
        """Fill ``seconds``."""
        self.look()
        for pid, (role, seconds) in self._last.items():
            self.seconds[role] += seconds - self._first[pid]

    def figures(self, name: str) -> dict[str, float]:
        """The figures of engine and workers, by their names."""
        return {
            f"{name}_{role}_{unit}": found[role]
            for role in ("engine", "worker")
            for unit, found in (("cpu_s", self.seconds), ("mb", self.mebibytes))
        }


@contextmanager
def watched() -> Iterator[Usage]:
    """Watch this process and those below it."""
    usage, is_over = Usage(), threading.Event()
    usage.look()

    def look_on() -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            usage.look()

    thread = threading.Thread(target=look_on, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        is_over.set()
        thread.join()
        usage.sum_up()


def _role(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    if not command.startswith("ray::"):
        return "ray"
    return "engine" if command.startswith("ray::Engine") else "worker"
