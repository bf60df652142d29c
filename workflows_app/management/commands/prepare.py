"""Everything that must have happened before the parts of an instance start, in one process.

`rayflow up` and the compose file run it at every start; each step does nothing when it was done before.
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

EXAMPLES = "examples."


class Command(BaseCommand):
    """Bring the database up to date, make the first account, read the definitions."""

    help = "Prepare an instance: migrations, the operator account, the catalogue of definitions."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--launch-examples",
            action="store_true",
            help="Start each example once, with its defaults.",
        )

    def handle(self, *args: Any, launch_examples: bool, **options: Any) -> None:
        """Run the steps in order; what cannot be repaired here is one line that starts with
        `rayflow:`.
        """
        try:
            call_command("migrate", interactive=False, verbosity=0)
            account = services.ensure_operator(
                settings.RAYFLOW_DATA_DIR, password=os.environ.get("RAYFLOW_OPERATOR_PASSWORD", "")
            )
            services.sync_definitions()
            if launch_examples:
                self._launch_examples()
        except DatabaseError as error:
            raise SystemExit(
                f"rayflow: the database cannot be prepared: {error}".strip()
            ) from error
        except Problem as problem:
            raise SystemExit(f"rayflow: {problem.detail}") from problem
        if account.created:
            self.stdout.write(f"Created the account operator; see {account.password_file}.")

    def _launch_examples(self) -> None:
        operator = User.objects.get(username="operator")
        examples = Definition.objects.filter(available=True, module__startswith=EXAMPLES)
        for name in examples.order_by("name").values_list("name", flat=True):
            # The key makes a repeated first start harmless.
            services.launch(
                operator, definition=name, params={}, idempotency_key=f"first-start-{name}"
            )
