"""Forks of a workflow, and plans of what a resume or a fork would do."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from workflows_app import access, rules
from workflows_app.models import Command, CommandKind, Task, Workflow
from workflows_app.problems import Conflict, Invalid
from workflows_app.services.commands import (
    after_collision,
    announce,
    fingerprint,
    replayed,
)
from workflows_app.services.launching import check_id, create_start

MOST_TASKS = 1_000
PLANNED = ("resume", "fork")


def fork(
    user: User,
    origin: Workflow,
    *,
    from_tasks: Sequence[str] = (),
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Command:
    """Ask for a new workflow from the checkpoints of ``origin``; the returned command names its id.

    Args:
        from_tasks: tasks that run again, with all that depends on them and all that has not ended well.
        metadata, tags: in place of those of the origin.

    Raises:
        Forbidden: the account may not start workflows.
        Invalid: a bad id, or a task that the origin does not have.
        Conflict: the origin has not ended or is a virtual actor, or the id is taken.
        Mismatch: the idempotency key belongs to a different request.
    """
    access.require(user, access.PERMISSION_OF_KIND[CommandKind.FORK])
    chosen = list(dict.fromkeys(from_tasks))
    payload: dict[str, Any] = {
        "origin": origin.workflow_id,
        "definition": origin.definition,
        "params": origin.params,
        "from_tasks": chosen,
        "metadata": origin.user_metadata if metadata is None else dict(metadata),
        "tags": origin.tags if tags is None else dict(tags),
        "reason": reason,
    }
    mark = fingerprint(CommandKind.FORK, workflow_id or "", payload)
    earlier = replayed(user, idempotency_key, mark)
    if earlier is not None:
        return earlier
    _check(origin, chosen)
    new_id = check_id(workflow_id) if workflow_id is not None else _new_id(origin.workflow_id)
    try:
        with transaction.atomic():
            return create_start(
                user, CommandKind.FORK, new_id, payload, key=idempotency_key, mark=mark
            )
    except IntegrityError:
        return after_collision(user, idempotency_key, mark, new_id)


def plan(user: User, workflow: Workflow, verb: str, *, from_tasks: Sequence[str] = ()) -> Command:
    """Ask what ``resume`` or ``fork`` of a workflow would do; the answer is the command's ``result``.

    Raises:
        Forbidden: the account may not see workflows.
        Invalid: another verb, or a task that the workflow does not have.
        Conflict: the workflow has not ended, or is a virtual actor.
    """
    access.require(user, access.PERMISSION_OF_KIND[CommandKind.PLAN])
    if verb not in PLANNED:
        raise Invalid(f"{verb!r} cannot be planned; use: {', '.join(PLANNED)}.")
    if verb == "fork":
        _check(workflow, from_tasks)
    else:
        rules.require(CommandKind.RESUME, workflow)
    payload = {"verb": verb, "from_tasks": list(dict.fromkeys(from_tasks))}
    with transaction.atomic():
        command = Command.objects.create(
            kind=CommandKind.PLAN,
            workflow_id=workflow.workflow_id,
            payload=payload,
            created_by=user,
        )
        announce(command)
    return command


def check_origin(origin: Workflow) -> None:
    """Whether there can be a fork of it.

    Raises:
        Conflict: it has not ended, or is a virtual actor.
    """
    if origin.actor is not None:
        raise Conflict(f"Workflow {origin.workflow_id!r} is a virtual actor; it cannot be forked.")
    if origin.status not in rules.TERMINAL:
        raise Conflict(
            f"Workflow {origin.workflow_id!r} cannot be forked: it is {origin.status}; suspend or cancel it"
            " first, or wait for its end.",
            extra={"current": {"status": origin.status, "event_seq": origin.event_seq}},
        )


def _check(origin: Workflow, from_tasks: Sequence[str]) -> None:
    check_origin(origin)
    if len(from_tasks) > MOST_TASKS:
        raise Invalid(
            f"A fork takes at most {MOST_TASKS} tasks to begin at; the rest follows them."
        )
    rows = Task.objects.filter(workflow=origin, task_id__in=from_tasks)
    known = set(rows.values_list("task_id", flat=True))
    unknown = [(n, each) for n, each in enumerate(from_tasks) if each not in known]
    if unknown:
        raise Invalid(
            f"Workflow {origin.workflow_id!r} has no task {unknown[0][1]!r:.200}.",
            code="unknown_task",
            errors=[
                {"pointer": f"/from_tasks/{n}", "detail": f"unknown task {each!r:.200}"}
                for n, each in unknown[:50]
            ],
        )


def _new_id(origin: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9._~-]+", "-", origin).strip("-.") or "workflow"
    return f"{stem[:180]}-fork-{secrets.token_hex(3)}"
