"""What must have happened before an instance can be used: tables, first account, definitions.

`rayflow up` and the compose file run it at every start; a step that was done before does nothing.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from workflows_app import services
from workflows_app.models import Definition
from workflows_app.problems import Problem

STEPS = ("database", "definitions", "examples")
DEFAULT_STEPS = ("database", "definitions")
EXAMPLES = "examples."


class Command(BaseCommand):
    """Run the steps that are asked for, in their order, in one process."""

    help = (
        "Prepare an instance. Steps: database (migrations and the operator account), definitions"
        " (read them into the catalogue), examples (start each once). Default: the first two."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("steps", nargs="*", choices=[*STEPS, []], metavar="step")

    def handle(self, *args: Any, steps: list[str], **options: Any) -> None:
        """Run the steps. A problem is one line that starts with `rayflow:` and a failure."""
        try:
            for step in STEPS:
                if step in (steps or DEFAULT_STEPS):
                    getattr(self, f"prepare_{step}")()
        except DatabaseError as error:
            raise SystemExit(f"rayflow: the database cannot be used: {error}".strip()) from error
        except Problem as problem:
            raise SystemExit(f"rayflow: {problem.detail}") from problem

    def prepare_database(self) -> None:
        """Bring the tables up to date and make the account of the first operator."""
        call_command("migrate", interactive=False, verbosity=0)
        account = services.ensure_operator(
            # Taken out of the environment: the definitions that are imported next must not see it.
            settings.RAYFLOW_DATA_DIR,
            password=os.environ.pop("RAYFLOW_OPERATOR_PASSWORD", ""),
        )
        if account.created:
            self.stdout.write(f"Created the account operator; see {account.password_file}.")
        # `rayflow up` waits for this line before it starts what needs the tables.
        self.stdout.write("The database is ready.")

    def prepare_definitions(self) -> None:
        """Read the definitions into the catalogue."""
        services.sync_definitions()

    def prepare_examples(self) -> None:
        """Start each example once, with its defaults."""
        operator = User.objects.get(username="operator")
        examples = Definition.objects.filter(available=True, module__startswith=EXAMPLES)
        for name in examples.order_by("name").values_list("name", flat=True):
            # The key makes a repeated first start harmless.
            services.launch(
                operator, definition=name, params={}, idempotency_key=f"first-start-{name}"
            )
