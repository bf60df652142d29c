"""`manage.py sync_definitions`: load the definition modules into the catalogue."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows_app import services
from workflows_app.gateway import EngineProblem


class Command(BaseCommand):
    """Load what RAYFLOW_FLOWS names into the table of definitions."""

    help = "Load the definitions that RAYFLOW_FLOWS names; flag those that are gone."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = services.sync_definitions()
        except EngineProblem as problem:
            raise CommandError(str(problem)) from problem
        self.stdout.write(f"{result.available} definitions available, {result.gone} gone.")
