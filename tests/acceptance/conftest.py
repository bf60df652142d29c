"""A whole instance as a subprocess, started the way a user starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.killing import kill_all

ROOT = Path(__file__).resolve().parents[2]
RAYFLOW = (sys.executable, "-c", "from rayflow.cli.main import app; app()")
START_SECONDS = 90.0
STOP_SECONDS = 20.0


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment of a user who has set nothing, whatever the test run itself has set."""
    foreign = ("RAYFLOW_", "RAY_", "DJANGO_", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


def rayflow(*arguments: str, input: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a `rayflow` command to its end, with an input and no terminal."""
    return subprocess.run(
        [*RAYFLOW, *arguments],
        env=clean_environment(**extra),
        input=input,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str | Callable[[], str],
    seconds: float = START_SECONDS,
) -> None:
    """Wait for a condition; fail the test with `what` when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            missing = what if isinstance(what, str) else what()
            pytest.fail(f"waited {seconds:g} s for: {missing}")
        time.sleep(0.05)


class Instance:
    """One `rayflow up` and everything a test wants to know about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.output: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        return (self.folder / "operator-password").read_text(encoding="utf-8").strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *arguments: str, **extra: str) -> None:
        """Start the instance and wait for its ready line."""
        self.output = []
        self._process = subprocess.Popen(
            [*RAYFLOW, "up", *self._options(), "--no-examples", *arguments],
            env=clean_environment(**extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._collect, args=(self._process,), daemon=True).start()
        self.wait_for_line(f"RayFlow is ready at {self.url}")

    def _options(self) -> tuple[str, ...]:
        return ("--port", str(self.port), "--data-dir", str(self.folder))

    def _collect(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.output.append(line.rstrip("\n"))

    def wait_for_line(self, text: str, *, after: int = 0) -> None:
        """Wait until the instance printed a line with this text, `after` that many lines."""

        def printed() -> bool:
            if self._process is None or self._process.poll() is not None:
                pytest.fail("rayflow up ended early:\n" + "\n".join(self.output[-40:]))
            return any(text in line for line in self.output[after:])

        wait_until(
            printed, what=lambda: f"{text!r} in the output:\n" + "\n".join(self.output[-40:])
        )

    def part_pid(self, name: str) -> int:
        """The process of one part. The last parts are started while the ready line is printed."""
        recorded: dict[str, int] = {}

        def is_recorded() -> bool:
            text = (self.folder / "run" / "processes.json").read_text(encoding="utf-8")
            recorded.update(json.loads(text))
            return name in recorded

        wait_until(is_recorded, what=f"a process of {name}")
        return recorded[name]

    def processes(self) -> list[psutil.Process]:
        """Every living process that belongs to this instance, wherever it hangs in the tree."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = (
                    process.environ().get("RAYFLOW_DATA_DIR") == str(self.folder)
                    or self.folder in Path(process.cwd()).parents  # as Redis: it has no environment
                )
            except psutil.Error:
                continue
            if ours and process.pid != os.getpid():
                found.append(process)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the instance to stop; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=STOP_SECONDS)

    def kill(self) -> None:
        """End the supervisor in a way that it cannot react to; its parts go on without it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def destroy(self) -> None:
        """Leave nothing behind, whatever state a failed test left the instance in."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        kill_all(self.processes())


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One running instance for the tests of a module; each leaves it running."""
    shared = Instance(tmp_path_factory.mktemp("instance") / "data")
    try:
        shared.start()
        yield shared
    finally:
        shared.destroy()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """An instance that serves the definitions of these tests."""
    shared = Instance(tmp_path_factory.mktemp("running") / "data")
    try:
        shared.start(RAYFLOW_FLOWS=str(Path(__file__).with_name("flows.py")))
        yield shared
    finally:
        shared.destroy()


@pytest.fixture
def another_instance(tmp_path: Path) -> Iterator[Instance]:
    """An instance that the test starts and stops itself."""
    own = Instance(tmp_path / "data")
    try:
        yield own
    finally:
        own.destroy()
