"""Celery tasks: short, idempotent, and nothing but a call of one service."""

from __future__ import annotations

from celery import shared_task

from workflows_app import services


@shared_task(name="workflows_app.run_command")
def run_command(command_id: str) -> None:
    """Carry out one command."""
    services.run_command(command_id)


@shared_task(name="workflows_app.advance_bulk")
def advance_bulk(bulk_id: str) -> None:
    """Send the next chunk of a bulk operation."""
    services.advance_bulk(bulk_id)


@shared_task(name="workflows_app.sweep")
def sweep() -> None:
    """Send again what was lost. Beat calls it every few seconds."""
    services.sweep()
