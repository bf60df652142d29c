"""`rayflow up` from beginning to end: check, start in order, say that it is ready, watch, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from rayflow.cli.errors import CommandError
from rayflow.cli.instance import Code, DataFolder, base_environment
from rayflow.cli.up import parts, preflight, processes, ray_head
from rayflow.cli.up.lock import InstanceLock
from rayflow.cli.up.logs import Terminal
from rayflow.cli.up.once import RememberingLog, run_once
from rayflow.cli.up.part import Part
from rayflow.cli.up.ports import KeptPorts, answers
from rayflow.cli.up.supervisor import Supervisor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Only the program that creates the account may know its password.
SECRETS = ("RAYFLOW_OPERATOR_PASSWORD",)


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    data: DataFolder
    port: int
    examples: bool


def run(options: Options) -> None:
    """Run an instance in the foreground until it is told to stop.

    Raises:
        CommandError: it cannot start, or a part cannot be kept running.
    """
    preflight.prepare_folder(options.data)
    with InstanceLock(options.data.run / "lock"):
        preflight.require_free_port(options.port)
        preflight.require_parts()
        redis = None if os.environ.get("REDIS_URL") else preflight.find_redis()
        _require_outside_redis()
        processes.adopt_orphans()
        asyncio.run(_Instance(options, redis_server=redis).run())
        processes.sweep_descendants()


def _require_outside_redis() -> None:
    url = os.environ.get("REDIS_URL")
    with contextlib.suppress(ValueError):
        address = urlsplit(url or "")
        if address.scheme in ("redis", "rediss") and address.hostname:
            port = address.port or 6379
            if not answers(port, address.hostname):
                raise CommandError(
                    f"nothing answers at {address.hostname}:{port}, where REDIS_URL points; "
                    "start that server, or unset REDIS_URL to use the embedded one"
                )


class _Instance:
    """One run of an instance. Created outside the event loop, used inside it."""

    def __init__(self, options: Options, *, redis_server: str | None) -> None:
        self._options = options
        self._data = options.data
        self._redis_server = redis_server
        self._terminal = Terminal()
        self._sessions = processes.RecordedSessions(
            options.data.run / "processes.json", options.data.path
        )
        self._ports = KeptPorts(options.data.run / "ports.json")

    async def run(self) -> None:
        """Start everything, watch it, and stop everything, whatever happens."""
        left_over = self._sessions.sweep_left_over()
        if left_over:
            self._terminal.say(f"Ended {left_over} processes that an earlier run left behind.")
        stop = self._listen_for_signals()
        supervisor = Supervisor(self._terminal, logs=self._data.logs, sessions=self._sessions)
        try:
            await _first(self._bring_up_and_watch(supervisor), stop)
        finally:
            self._terminal.say("Stopping ...")
            await supervisor.stop(parts.STOP_ORDER)
            self._terminal.say("RayFlow has stopped.")

    def _listen_for_signals(self) -> asyncio.Event:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, stop.set)
        return stop

    async def _bring_up_and_watch(self, supervisor: Supervisor) -> None:
        plan = self._start_foundations(supervisor)
        had_password = self._data.password_file.exists()
        await supervisor.unless_failed(self._run_once(parts.database_step(plan)))
        self._announce_account(had_password=had_password)
        plan = replace(plan, environment=_without_secrets(plan.environment))
        if self._redis_server is not None:
            await supervisor.ready("redis")
        names = self._start_services(supervisor, plan)
        await supervisor.unless_failed(self._load_definitions(plan))
        await supervisor.ready(*names)
        self._terminal.say(f"RayFlow is ready at http://127.0.0.1:{self._options.port}")
        await supervisor.watch()

    def _start_foundations(self, supervisor: Supervisor) -> parts.Plan:
        """Start what the other parts connect to; returns the plan with the addresses of both."""
        code = Code.of_this_process()
        environment = base_environment(code, self._data)
        started: list[Part] = []
        plan = parts.Plan(
            code=code, data=self._data, port=self._options.port, environment=environment
        )
        if self._redis_server is not None:
            port = self._ports.get("redis")
            environment["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
            started.append(parts.redis_part(plan, server=self._redis_server, port=port))
        if not environment.get("RAY_ADDRESS"):
            port = self._ports.get("ray")
            folder = ray_head.fresh_temp_dir(self._data)
            started.append(parts.ray_part(plan, port=port, folder=folder))
            environment["RAY_ADDRESS"] = f"127.0.0.1:{port}"
        for part in started:
            supervisor.start(replace(part, environment=_without_secrets(part.environment)))
        return plan

    async def _run_once(self, part: Part) -> None:
        log = RememberingLog(part.name, self._terminal, folder=self._data.logs, shown=part.shown)
        await run_once(part, log=log, sessions=self._sessions)

    async def _load_definitions(self, plan: parts.Plan) -> None:
        # The marker is set even with --no-examples: the very first start is over then, too.
        marker = self._data.run / "started-before"
        wanted = self._options.examples and not marker.exists()
        await self._run_once(parts.definitions_step(plan, launch_examples=wanted))
        marker.touch()

    def _announce_account(self, *, had_password: bool) -> None:
        """Print the generated password once. Only on the terminal, never in a log file."""
        if had_password or not self._data.password_file.exists():
            return
        if os.environ.get("RAYFLOW_OPERATOR_PASSWORD"):
            self._terminal.say(
                "Created the account operator with the password from RAYFLOW_OPERATOR_PASSWORD."
            )
        else:
            password = self._data.password_file.read_text(encoding="utf-8").strip()
            self._terminal.say(
                f"Created the account operator with the password {password} "
                f"(kept in {self._data.password_file})"
            )

    def _start_services(self, supervisor: Supervisor, plan: parts.Plan) -> list[str]:
        services = [
            parts.web_part(plan),
            parts.celery_part(plan),
            parts.follower_part(plan),
            parts.beat_part(plan),
        ]
        for part in services:
            supervisor.start(part)
        embedded_ray = ["ray"] if not os.environ.get("RAY_ADDRESS") else []
        return [*embedded_ray, *(part.name for part in services)]


def _without_secrets(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in SECRETS}


async def _first(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Await the work or the wish to stop, whichever comes first."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        stopping.cancel()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, CommandError):
            await working
