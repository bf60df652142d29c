"""Celery tasks: short, idempotent, and nothing but a call of one service."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import shared_task
from celery.signals import worker_ready

from workflows_app import services
from workflows_app.gateway import EngineProblem, gateway

logger = logging.getLogger(__name__)


@shared_task(name="workflows_app.run_command")
def run_command(*command_ids: str) -> None:
    """Carry out some commands."""
    services.run_commands(command_ids)


@shared_task(name="workflows_app.advance_bulk")
def advance_bulk(*bulk_ids: str) -> None:
    """Send the next chunks of bulk operations."""
    for bulk_id in bulk_ids:
        services.advance_bulk(bulk_id)


@shared_task(name="workflows_app.sweep")
def sweep() -> None:
    """Send again what was lost. Beat calls it every few seconds."""
    services.sweep()


@shared_task(name="workflows_app.tick")
def tick() -> None:
    """Launch what schedules are due for. Beat calls it every few seconds."""
    services.tick()


@worker_ready.connect
def warm_up(**_: Any) -> None:
    """Connect to the engine while nobody waits; loading Ray and the definitions takes seconds."""
    # In a thread, so that a worker is there (and can say what is wrong) without an engine too.
    threading.Thread(target=_warm_up, name="warm up", daemon=True).start()


def _warm_up() -> None:
    try:
        gateway().warm_up()
    except EngineProblem as problem:
        logger.warning("No engine yet: %s", problem)
