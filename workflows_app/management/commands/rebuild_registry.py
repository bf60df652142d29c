"""`manage.py rebuild_registry`: empty the projected tables and fill them from the journals."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows_app import projection
from workflows_app.follower import Follower
from workflows_app.gateway import EngineProblem, gateway
from workflows_app.models import Workflow


class Command(BaseCommand):
    """Rebuild workflows, tasks, attempts and events from the storage."""

    help = "Empty and refill the tables of workflows, tasks, attempts and events."

    def handle(self, *args: Any, **options: Any) -> None:
        engine = gateway()
        try:
            engine.entries()  # Before anything is emptied: can the storage be read at all?
            projection.forget_everything()
            Follower(engine).reconcile()
        except EngineProblem as problem:
            raise CommandError(f"The registry cannot be rebuilt now: {problem}") from problem
        self.stdout.write(f"Rebuilt {Workflow.objects.count()} workflows from the journals.")
