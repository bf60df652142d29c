"""`rayflow up` from beginning to end: check, start in order, say that it is ready, watch, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from rayflow.cli.errors import CommandError
from rayflow.cli.instance import Code, DataFolder, base_environment
from rayflow.cli.up import parts, preflight, processes, ray_head
from rayflow.cli.up.lock import InstanceLock
from rayflow.cli.up.logs import PartLog, Terminal
from rayflow.cli.up.once import Step
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
        sessions = processes.RecordedSessions(
            options.data.run / "processes.json", options.data.path
        )
        left_over = sessions.sweep_left_over()
        if left_over:
            print(f"Ended {left_over} processes that an earlier run left behind.", flush=True)
        preflight.require_free_port(options.port)
        preflight.require_parts()
        redis = None if os.environ.get("REDIS_URL") else preflight.find_redis()
        _require_outside_redis()
        processes.adopt_orphans()
        try:
            asyncio.run(_Instance(options, redis_server=redis, sessions=sessions).run())
        finally:
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

    def __init__(
        self,
        options: Options,
        *,
        redis_server: str | None,
        sessions: processes.RecordedSessions,
    ) -> None:
        self._options = options
        self._data = options.data
        self._redis_server = redis_server
        self._terminal = Terminal()
        self._sessions = sessions
        self._started_before = self._data.run / "started-before"
        self._has_own_ray = not os.environ.get("RAY_ADDRESS")
        self._ports = KeptPorts(options.data.run / "ports.json")

    async def run(self) -> None:
        """Start everything, watch it, and stop everything, whatever happens."""
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
        setup = self._setup_step(plan)
        try:
            await self._bring_up(supervisor, plan=plan, setup=setup)
            address = f"http://127.0.0.1:{self._options.port}"
            (self._data.run / "url").write_text(f"{address}\n", encoding="utf-8")
            self._terminal.say(f"RayFlow is ready at {address}")
            await supervisor.unless_failed(setup.finished())
            self._started_before.touch()
            await supervisor.watch()
        finally:
            await setup.stop()

    async def _bring_up(self, supervisor: Supervisor, *, plan: parts.Plan, setup: Step) -> None:
        """Start the services as soon as what each needs is there."""
        had_password = self._data.password_file.exists()
        await supervisor.unless_failed(setup.ready())
        self._announce_account(had_password=had_password)
        quiet = replace(plan, environment=_without_secrets(plan.environment))
        if self._redis_server is not None:
            await supervisor.ready("redis")
        # Started in the order in which someone waits for them: every start takes processor time
        # from those before it. Nobody waits for the clock.
        supervisor.start(parts.web_part(quiet))
        supervisor.start(parts.celery_part(quiet))
        await supervisor.ready("web")
        supervisor.start(parts.follower_part(quiet))
        if not self._started_before.exists():
            # A console without definitions is not ready; at a later start it has the last ones.
            await supervisor.unless_failed(setup.finished())
        await supervisor.ready("celery", *(["ray"] if self._has_own_ray else []))
        supervisor.start(parts.beat_part(quiet))

    def _start_foundations(self, supervisor: Supervisor) -> parts.Plan:
        """Start what the other parts connect to; returns the plan with the addresses of both."""
        code = Code.of_this_process()
        environment = base_environment(code, self._data)
        embedded: dict[str, str] = {}
        redis_port, ray_port = self._ports.get("redis"), self._ports.get("ray")
        if self._redis_server is not None:
            embedded["REDIS_URL"] = f"redis://127.0.0.1:{redis_port}/0"
        if self._has_own_ray:
            environment.pop("RAY_AUTH_TOKEN", None)  # it would win over the instance's own token
            embedded |= ray_head.client_environment(self._data, port=ray_port)
        environment |= embedded
        self._write_environment_file(environment, embedded)
        plan = parts.Plan(
            code=code, data=self._data, port=self._options.port, environment=environment
        )
        quiet = replace(plan, environment=_without_secrets(environment))
        if self._redis_server is not None:
            supervisor.start(parts.redis_part(quiet, server=self._redis_server, port=redis_port))
        if self._has_own_ray:
            folder = ray_head.fresh_temp_dir(self._data)
            supervisor.start(parts.ray_part(quiet, port=ray_port, folder=folder))
        return plan

    def _write_environment_file(
        self, environment: Mapping[str, str], embedded: Mapping[str, str]
    ) -> None:
        """Let the user's own programs reach this instance: `source <data-dir>/run/environment`."""
        names = [*sorted(embedded), "RAYFLOW_DATA_DIR", "RAYFLOW_STORAGE"]
        lines = [f"export {name}={shlex.quote(environment[name])}\n" for name in names]
        (self._data.run / "environment").write_text("".join(lines), encoding="utf-8")

    def _setup_step(self, plan: parts.Plan) -> Step:
        # With --no-examples, too, the first start is the only one that could launch them.
        wanted = self._options.examples and not self._started_before.exists()
        part = parts.setup_part(plan, launch_examples=wanted)
        log = PartLog(part.name, self._terminal, folder=self._data.logs, shown=part.shown)
        return Step(part, log=log, sessions=self._sessions)

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


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
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
