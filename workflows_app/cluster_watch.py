"""Looks at Ray and Celery every few seconds and notes what it sees, so that no page ever has to ask them.

It runs in a thread beside the follower. Whatever cannot be reached is noted as such.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.conf import settings
from django.db import close_old_connections

from workflows_app import services
from workflows_app.gateway import ClusterReport, EngineProblem, Gateway
from workflows_app.models import ClusterSample

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
# How long Celery's processes have to answer; the slowest of them decides.
CELERY_SECONDS = 1.5


def watch(engine: Gateway, stop: threading.Event) -> None:
    """Take a sample every few seconds until ``stop`` is set."""
    while not stop.is_set():
        try:
            take(engine)
        except Exception:
            logger.warning("The cluster could not be looked at", exc_info=True)
        close_old_connections()
        stop.wait(EVERY_SECONDS)


def take(engine: Gateway) -> ClusterSample:
    """Look once, and note it."""
    problems = []
    report = ClusterReport()
    try:
        report = engine.cluster()
    except EngineProblem as problem:
        problems.append(problem.detail)
    workers: list[dict[str, Any]] = []
    queued = None
    try:
        queued = celery_queue()
        workers = celery_workers()
    except Exception as error:  # noqa: BLE001 - kombu raises what its transport raises
        problems.append(f"The broker of Celery did not answer ({type(error).__name__}).")
    return services.keep_sample(
        resources={name: list(pair) for name, pair in report.resources.items()},
        nodes=[node.as_dict() for node in report.nodes],
        workers=workers,
        queued=queued,
        problem=" ".join(problems)[:1_000],
    )


def celery_workers() -> list[dict[str, Any]]:
    """The worker processes of Celery that answer, with what each is doing."""
    from rayflow_web.celery import app

    inspect = app.control.inspect(timeout=CELERY_SECONDS)
    stats = inspect.stats() or {}
    active = inspect.active() or {} if stats else {}
    return [
        {
            "name": name,
            "threads": told.get("pool", {}).get("max-concurrency"),
            "busy": len(active.get(name) or []),
            "done": sum((told.get("total") or {}).values()),
        }
        for name, told in sorted(stats.items())
    ]


def celery_queue() -> int:
    """How many messages wait in the broker."""
    from rayflow_web.celery import app

    name = getattr(settings, "CELERY_TASK_DEFAULT_QUEUE", app.conf.task_default_queue)
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=CELERY_SECONDS)
        return int(connection.default_channel.client.llen(name))
