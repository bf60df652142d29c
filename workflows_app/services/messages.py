"""Telling a workflow something: signals, answers to approvals, events over HTTP."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from workflows_app import access, rules
from workflows_app.models import Command, CommandKind, Workflow, WorkflowStatus
from workflows_app.problems import Conflict
from workflows_app.services import audit
from workflows_app.services.commands import after_collision, announce, fingerprint, replayed

LISTENING = rules.ACTIVE | {WorkflowStatus.RESUMABLE}


def tell(
    user: User,
    workflow: Workflow,
    kind: str,
    name: str,
    payload: Any,
    *,
    key: str | None = None,
    idempotency_key: str | None = None,
) -> Command:
    """Send a message to a workflow; stored with the command until the engine has recorded it.

    Args:
        kind: ``signal``, ``approval`` or ``event``.
        name: of the signal, the id of the task that asks, or the key of the event.
        payload: plain JSON.
        key: the engine takes messages with the same key for one.

    Raises:
        Forbidden: the account lacks the permission.
        Conflict: the workflow has ended.
        Mismatch: the idempotency key belongs to a different request.
    """
    access.require(user, access.PERMISSION_OF_KIND[CommandKind.TELL])
    content = {"kind": kind, "name": name, "payload": payload, "key": key}
    mark = fingerprint(CommandKind.TELL, workflow.workflow_id, content)
    earlier = replayed(user, idempotency_key, mark)
    if earlier is not None:
        return earlier
    is_at_rest = workflow.actor is not None and workflow.status == WorkflowStatus.SUCCESSFUL
    if workflow.status not in LISTENING and not is_at_rest:
        raise Conflict(
            f"Workflow {workflow.workflow_id!r} is {workflow.status}; it has ended and reads no"
            " messages any more.",
            extra={"current": {"status": workflow.status, "event_seq": workflow.event_seq}},
        )
    try:
        with transaction.atomic():
            command = Command.objects.create(
                kind=CommandKind.TELL,
                workflow_id=workflow.workflow_id,
                payload=content,
                created_by=user,
                idempotency_key=idempotency_key,
                request_fingerprint=mark,
            )
            audit.record(
                user, kind, target=workflow.workflow_id, name=name, operation=str(command.id)
            )
            announce(command)
    except IntegrityError:
        return after_collision(user, idempotency_key, mark, workflow.workflow_id)
    return command
