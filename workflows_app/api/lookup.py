"""Finding the workflow a request is about, including one whose launch is still under way.

A launch is answered before the engine has seen it, and the registry shows a workflow only once the
follower has read its journal. In between, who launched it can already ask for it: it is PENDING,
with the command `launch` outstanding.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from workflows_app import access
from workflows_app.models import (
    STARTS,
    Command,
    CommandKind,
    CommandState,
    Workflow,
    WorkflowStatus,
)
from workflows_app.problems import Conflict, NotFound

# How long the follower may take to show a workflow that the engine has accepted.
PROJECTION_GRACE = timedelta(seconds=60)


def find(user: Any, workflow_id: str) -> Workflow:
    """The workflow to read, perhaps one that is only being launched (then it has no `pk`).

    Raises:
        NotFound: there is none, it may not be seen, or its launch failed.
    """
    try:
        return access.workflow_for(user, workflow_id)
    except NotFound:
        if not access.can(user, "view_workflow"):
            raise
        command = Command.objects.filter(workflow_id=workflow_id).order_by("-created_at").first()
        if command is None or command.kind not in STARTS:
            raise
        if command.state == CommandState.FAILED:
            raise _never_launched(command) from None
        if not _is_under_way(command):
            raise
        return launching(command)


def find_to_change(user: Any, workflow_id: str) -> Workflow:
    """The workflow to act upon.

    Raises:
        NotFound: as `find`.
        Conflict: it is still being launched, so nothing can be done to it yet.
    """
    workflow = find(user, workflow_id)
    if workflow.pk is None:
        raise Conflict(
            f"Workflow {workflow_id!r} is still being launched; wait until it is there with "
            "status/?wait=30&until=change, then repeat the request.",
            code="command_pending",
            extra={"current": {"status": workflow.status, "event_seq": 0}},
        )
    return workflow


def launching(command: Command) -> Workflow:
    """How a workflow reads of which only the launch is known. Never saved."""
    payload = command.payload
    return Workflow(
        workflow_id=command.workflow_id,
        status=WorkflowStatus.PENDING,
        definition=payload.get("definition"),
        params=payload.get("params"),
        user_metadata=payload.get("metadata", {}),
        tags=payload.get("tags", {}),
        created_at=command.created_at,
        changed_at=command.created_at,
        forked_from=payload.get("origin"),
        pending_command=CommandKind(command.kind).value,
    )


def _is_under_way(command: Command) -> bool:
    if command.state in (CommandState.QUEUED, CommandState.RUNNING):
        return True
    ended = command.finished_at
    return ended is not None and timezone.now() - ended < PROJECTION_GRACE


def _never_launched(command: Command) -> NotFound:
    why = (command.problem or {}).get("detail", "")
    return NotFound(
        f"There is no workflow {command.workflow_id!r}: its launch failed. {why}".strip(),
        code="launch_failed",
        extra={"operation": str(command.pk)},
    )
