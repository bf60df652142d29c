"""`manage.py ensure_operator`: create the operator's account at the first start."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from workflows_app import services


class Command(BaseCommand):
    """Create the account `operator` unless it exists."""

    help = (
        "Create the account 'operator'. Its password is RAYFLOW_OPERATOR_PASSWORD, else a random"
        " one that is printed once and kept in the data folder."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = os.environ.get("RAYFLOW_OPERATOR_PASSWORD", "")
        try:
            account = services.ensure_operator(settings.RAYFLOW_DATA_DIR, password=wanted)
        except OSError as error:
            raise CommandError(f"The operator's password cannot be kept: {error}") from error
        if not account.created:
            self.stdout.write("The account 'operator' exists.")
        elif account.password is None:
            self.stdout.write("Created the account 'operator' with the given password.")
        else:
            self.stdout.write(
                f"Created the account 'operator' with the password {account.password}"
                f" (kept in {account.password_file})."
            )
