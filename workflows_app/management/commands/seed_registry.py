"""`manage.py seed_registry --workflows 100000`: fill an empty registry with made-up workflows."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workflows_app import queries, seeding
from workflows_app.models import Workflow


class Command(BaseCommand):
    """Fill the registry."""

    help = (
        "Fill an empty registry with made-up workflows, to see pages and API at the size of a company."
        " Nothing is written to the storage, so no follower may run: it would take them out again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workflows", type=int, default=100_000, help="How many.")
        parser.add_argument(
            "--large", type=int, default=0, help="Add 'seed-large', with this many tasks."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["workflows"] < 1 or options["large"] < 0:
            raise CommandError("--workflows is at least 1, and --large at least 0.")
        if queries.follower()["alive"]:
            raise CommandError(
                "A follower works on this registry and would remove what is not in the storage; stop it,"
                " or set DATABASE_URL to another database."
            )
        if Workflow.objects.exists():
            raise CommandError(
                "The registry has workflows already; set DATABASE_URL to an empty database."
            )
        seeding.seed(options["workflows"], timezone.now(), large=options["large"])
        self.stdout.write(f"Made {options['workflows']} workflows.")
