"""`manage.py create_token NAME --user operator --scope write` prints a new API token."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from workflows_app import tokens
from workflows_app.models import ApiToken
from workflows_app.problems import Problem


class Command(BaseCommand):
    """Create an API token for a user and print its plain text once."""

    help = "Create an API token and print it. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="What the token is for.")
        parser.add_argument("--user", required=True, help="Whose permissions the token carries.")
        parser.add_argument("--scope", choices=ApiToken.Scope.values, default=ApiToken.Scope.READ)
        parser.add_argument("--days", type=int, default=tokens.LIFETIME.days, help="Lifetime.")

        parser.add_argument(
            "--network",
            action="append",
            default=[],
            help="Where it may be used from, like 10.0.0.0/8.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['user']!r}; create it first.")
        try:
            expires_at = timezone.now() + timedelta(days=options["days"])
            _, plain = tokens.create(
                user,
                options["name"],
                scope=options["scope"],
                expires_at=expires_at,
                networks=options["network"],
            )
        except Problem as problem:
            raise CommandError(problem.detail) from problem
        except OverflowError as error:
            raise CommandError(f"--days {options['days']} is too long.") from error
        self.stdout.write(plain)
