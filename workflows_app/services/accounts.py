"""The first account of an installation."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.db import transaction

from workflows_app.services import audit

OPERATOR = "operator"
PASSWORD_FILE = "operator-password"


@dataclass(frozen=True, slots=True)
class OperatorAccount:
    """The operator account; `password` is set only when it has just been made up."""

    created: bool
    password: str | None
    password_file: Path


def ensure_operator(data_dir: Path, *, password: str = "") -> OperatorAccount:
    """Create the account `operator` if there is none. Never changes an existing password.

    Args:
        data_dir: where the password is kept, readable for this system account only.
        password: the wanted one; a random one is made when it is empty.

    The file is written before the account, so a crash in between leaves a file that the next
    start uses, and never an account whose password nobody knows.
    """
    path = data_dir / PASSWORD_FILE
    if User.objects.filter(username=OPERATOR).exists():
        return OperatorAccount(created=False, password=None, password_file=path)
    kept = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    chosen = password or kept or secrets.token_urlsafe(12)
    write_private(path, chosen)
    with transaction.atomic():
        user = User.objects.create_user(OPERATOR, password=chosen, is_staff=True)
        user.groups.add(Group.objects.get(name="admin"))
        audit.record(None, "create account", target=OPERATOR)
    return OperatorAccount(created=True, password=None if password else chosen, password_file=path)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this system account may read, from its first moment on."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    temporary.replace(path)
