"""The parts of an instance: for each, the command, the environment and the sign of readiness."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rayflow.cli.instance import Code, DataFolder
from rayflow.cli.up import ray_head
from rayflow.cli.up.part import ERRORS, LEVELS, Part
from rayflow.cli.up.probes import console_answers, redis_answers

CELERY = ("--app", "rayflow_web.celery:app")
# Written by `manage.py prepare` when its first step is done.
DATABASE_READY = "The database is ready."
# Stopped in this order, the members of a group together: first who asks for work, last who does it.
STOP_ORDER = (("web", "beat"), ("celery", "follower"), ("ray", "redis"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What the parts of one instance have in common."""

    code: Code
    data: DataFolder
    port: int
    environment: Mapping[str, str]


def redis_part(plan: Plan, *, server: str, port: int) -> Part:
    """The embedded broker. It keeps nothing: commands wait in the database, not here."""
    command = (
        server,
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(plan.data.run)),
        *("--save", "", "--appendonly", "no", "--loglevel", "notice"),
    )
    return Part(
        name="redis",
        command=command,
        environment=plan.environment,
        probe=functools.partial(redis_answers, port),
        shown=ERRORS,
    )


def ray_part(plan: Plan, *, port: int, folder: Path) -> Part:
    """The local Ray head, and with it every process that runs tasks."""
    return Part(
        name="ray",
        command=ray_head.head_command(plan.code, port=port, folder=folder),
        environment={**plan.environment, **ray_head.HEAD_ENVIRONMENT},
        ready_line=ray_head.READY_LINE,
        works=ray_head.has_raylet,
        stop_seconds=4.0,
        shown=ERRORS,
    )


def accepted_host(plan: Plan) -> str:
    """A host name that the web server accepts, for the question whether it is ready."""
    first = plan.environment.get("RAYFLOW_ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".")
    return first if first and first != "*" else "127.0.0.1"


def web_part(plan: Plan) -> Part:
    """The console, the API and the websocket."""
    command = plan.code.module(
        "uvicorn",
        "rayflow_web.asgi:application",
        *("--host", "127.0.0.1", "--port", str(plan.port)),
        *("--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "off"),
        *("--no-access-log", "--no-use-colors", "--timeout-graceful-shutdown", "2"),
    )
    return Part(
        name="web",
        command=command,
        environment=plan.environment,
        probe=functools.partial(console_answers, plan.port, accepted_host(plan)),
        stop_seconds=4.0,
        shown=LEVELS,
    )


def celery_part(plan: Plan) -> Part:
    """The worker that carries commands to the engine. Threads: its tasks only wait for others."""
    command = plan.code.module(
        "celery",
        *CELERY,
        *("--no-color", "--quiet"),
        "worker",
        *("--pool", "threads", "--concurrency", "4", "--loglevel", "INFO"),
        *("--without-gossip", "--without-mingle"),
    )
    # It holds a connection to the Ray head; a new head knows nothing of it.
    return Part(
        name="celery",
        command=command,
        environment=plan.environment,
        ready_line=" ready.",
        follows=("ray",),
        shown=LEVELS,
    )


def beat_part(plan: Plan) -> Part:
    """The clock of periodic work."""
    command = plan.code.module(
        "celery",
        *CELERY,
        *("--no-color", "--quiet"),
        "beat",
        *("--loglevel", "INFO", "--pidfile", ""),
        *("--schedule", str(plan.data.run / "celerybeat-schedule")),
    )
    return Part(
        name="beat",
        command=command,
        environment=plan.environment,
        ready_line="beat: Starting",
        shown=LEVELS,
    )


def follower_part(plan: Plan) -> Part:
    """The process that copies the journals into the registry tables."""
    return Part(
        name="follower",
        command=plan.code.manage("follow"),
        environment=plan.environment,
        ready_line="Following the journals",
        follows=("ray",),
        shown=LEVELS,
    )


def setup_part(plan: Plan, *, launch_examples: bool) -> Part:
    """What is done once at each start: tables, first account, then the definitions.

    One process, because loading Django twice takes longer than the work. The other parts wait for
    the database only: importing the definitions, and Ray with them, goes on beside them.
    """
    steps = ("database", "definitions", *(("examples",) if launch_examples else ()))
    return Part(
        name="setup",
        command=plan.code.manage("prepare", *steps),
        environment=plan.environment,
        ready_line=DATABASE_READY,
        shown=LEVELS,
    )
