"""Asking for a command: cancel, resume and delete of one workflow."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from workflows_app import access, after_commit, rules
from workflows_app.models import BulkOperation, Command, Workflow
from workflows_app.problems import Conflict, Invalid, Mismatch, NotFound
from workflows_app.services import audit

MAX_KEY_LENGTH = 128


def request(
    user: User,
    kind: str,
    workflow: Workflow,
    *,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Command:
    """Ask for `kind` (cancel, resume or delete) of one workflow.

    The workflow shows the command as pending until the engine has confirmed it.

    Raises:
        Forbidden: the account lacks the permission.
        Conflict: the workflow's status does not allow it, or a command is already under way.
        Mismatch: the idempotency key belongs to a different request.
    """
    if kind not in rules.ALLOWED:
        raise Invalid(f"{kind!r} is not one of: {', '.join(rules.ALLOWED)}.")
    access.require(user, access.PERMISSION_OF_KIND[kind])
    payload = {"reason": reason} if reason else {}
    mark = fingerprint(kind, workflow.workflow_id, payload)
    earlier = replayed(user, idempotency_key, mark)
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic():
            _mark_pending(kind, workflow)
            command = Command.objects.create(
                kind=kind,
                workflow_id=workflow.workflow_id,
                payload=payload,
                created_by=user,
                idempotency_key=idempotency_key,
                request_fingerprint=mark,
            )
            audit.record(
                user,
                kind,
                target=workflow.workflow_id,
                reason=reason,
                operation=str(command.id),
            )
            announce(command)
    except IntegrityError:
        return after_collision(user, idempotency_key, mark, workflow.workflow_id)
    return command


def announce(command: Command) -> None:
    """Have the command run after commit, and let open pages show that it is pending."""
    after_commit.enqueue(after_commit.RUN_COMMAND, str(command.id))
    after_commit.ring({"list": 0, f"workflow:{command.workflow_id}": 0})


def _mark_pending(kind: str, workflow: Workflow) -> None:
    marked = Workflow.objects.filter(
        pk=workflow.pk, status__in=rules.allowed_statuses(kind), pending_command=None
    ).update(pending_command=kind)
    if marked:
        workflow.pending_command = kind
        return
    now = Workflow.objects.filter(pk=workflow.pk).first()
    if now is None:
        raise NotFound(f"There is no workflow {workflow.workflow_id!r}; it has been deleted.")
    why = rules.refusal(kind, status=now.status, pending_command=now.pending_command)
    raise rules.conflict(kind, now, why or "it just changed")


def fingerprint(kind: str, workflow_id: str, payload: dict[str, Any]) -> str:
    """A digest that tells two requests with the same idempotency key apart."""
    text = json.dumps([kind, workflow_id, payload], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def replayed(user: User, key: str | None, mark: str) -> Command | None:
    """The command an earlier request with this key made, flagged as replayed.

    Raises:
        Invalid: the key is empty or too long.
        Mismatch: that request asked for something else.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise Invalid(f"The idempotency key must have 1 to {MAX_KEY_LENGTH} characters.")
    earlier = Command.objects.filter(created_by=user, idempotency_key=key).first()
    if earlier is None:
        return None
    if earlier.request_fingerprint != mark:
        raise Mismatch(
            f"The idempotency key {key!r} was used before for {earlier.kind} of"
            f" {earlier.workflow_id!r} with other contents; use a new key for a new request."
        )
    earlier.replayed = True
    return earlier


def after_collision(user: User, key: str | None, mark: str, workflow_id: str) -> Command:
    """Answer a request that lost a race: the same request's command, or a conflict."""
    earlier = replayed(user, key, mark)
    if earlier is not None:
        return earlier
    raise Conflict(
        f"Another command for {workflow_id!r} is under way; wait for it to finish.",
        code="command_pending",
    )


def commands_of(bulk: BulkOperation, workflow_ids: list[str]) -> list[Command]:
    """New, unsaved commands of a bulk operation, one per workflow."""
    payload = {"reason": bulk.reason} if bulk.reason else {}
    return [
        Command(
            kind=bulk.kind,
            workflow_id=workflow_id,
            payload=payload,
            created_by=bulk.created_by,
            bulk=bulk,
        )
        for workflow_id in workflow_ids
    ]
