"""Entries of the audit log, written in the transaction of what they tell about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from workflows_app.middleware import current_request_id
from workflows_app.models import AuditEntry


def record(user: User | None, verb: str, *, target: str, **detail: Any) -> None:
    """Note that `user` (or the system, when None) asked for `verb` on `target`."""
    AuditEntry.objects.create(
        actor=user.get_username() if user else "system",
        verb=verb,
        target=target,
        detail={key: value for key, value in detail.items() if value not in (None, "", {}, [])},
        request_id=current_request_id(),
    )


def record_many(
    user: User | None, verb: str, targets: Sequence[tuple[str, dict[str, Any]]]
) -> None:
    """As :func:`record` for many targets, each with its detail."""
    actor, request_id = user.get_username() if user else "system", current_request_id()
    AuditEntry.objects.bulk_create(
        AuditEntry(actor=actor, verb=verb, target=target, detail=detail, request_id=request_id)
        for target, detail in targets
    )


def note_export(user: User, what: str, kind: str, address: str) -> None:
    """Note that ``user`` takes a list away as a file."""
    record(user, "export", target=what, format=kind, address=address)
