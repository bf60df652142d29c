"""Which command fits which status. Pure; the services, the pages and the API all ask here."""

from __future__ import annotations

from workflows_app.models import CommandKind, Workflow, WorkflowStatus
from workflows_app.problems import Conflict

ACTIVE = frozenset({WorkflowStatus.PENDING, WorkflowStatus.RUNNING})
TERMINAL = frozenset(WorkflowStatus) - ACTIVE

# A canceled workflow is final, as in the old library; a fork continues it under another id.
ALLOWED: dict[str, frozenset[WorkflowStatus]] = {
    CommandKind.CANCEL: ACTIVE,
    CommandKind.SUSPEND: ACTIVE,
    CommandKind.RESUME: frozenset({WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE}),
    CommandKind.DELETE: TERMINAL,
}

NEEDS = {
    CommandKind.CANCEL: "only a PENDING or RUNNING workflow can be canceled",
    CommandKind.SUSPEND: "only a PENDING or RUNNING workflow can be suspended",
    CommandKind.RESUME: "only a FAILED or RESUMABLE workflow can be resumed",
    CommandKind.DELETE: "a PENDING or RUNNING workflow has to be canceled before it is deleted",
}


PARTICIPLES = {
    CommandKind.CANCEL: "canceled",
    CommandKind.SUSPEND: "suspended",
    CommandKind.RESUME: "resumed",
    CommandKind.DELETE: "deleted",
}


def allowed_statuses(kind: str, *, include_failed: bool = True) -> frozenset[WorkflowStatus]:
    """The statuses in which `kind` is possible.

    Args:
        include_failed: for resume, whether workflows whose own tasks failed are meant too, as in
            the old library's ``resume_all(include_failed=...)``.
    """
    statuses = ALLOWED[kind]
    if kind == CommandKind.RESUME and not include_failed:
        return statuses - {WorkflowStatus.FAILED}
    return statuses


def refusal(
    kind: str, *, status: str, pending_command: str | None, include_failed: bool = True
) -> str | None:
    """Why `kind` is not possible now, as a clause without the id, or None when it is."""
    if pending_command:
        return f"a {pending_command} of it is under way"
    if status in allowed_statuses(kind, include_failed=include_failed):
        return None
    if kind == CommandKind.RESUME and status == WorkflowStatus.FAILED:
        return "it is FAILED, and only RESUMABLE workflows were asked for"
    return f"it is {status}, and {NEEDS[CommandKind(kind)]}"


def actions(status: str, pending_command: str | None) -> list[str]:
    """The commands possible now, for buttons and for the API."""
    return [
        kind
        for kind in ALLOWED
        if refusal(kind, status=status, pending_command=pending_command) is None
    ]


def require(kind: str, workflow: Workflow) -> None:
    """Make sure that ``kind`` is possible now.

    Raises:
        Conflict: it is not; the problem holds the present state.
    """
    why = refusal(kind, status=workflow.status, pending_command=workflow.pending_command)
    if why is not None:
        raise conflict(kind, workflow, why)


def conflict(kind: str, workflow: Workflow, why: str) -> Conflict:
    """The problem that ``kind`` is not possible, because of ``why``."""
    return Conflict(
        f"Workflow {workflow.workflow_id!r} cannot be {PARTICIPLES[CommandKind(kind)]}: {why}.",
        code="command_pending" if workflow.pending_command else "state_conflict",
        extra={"current": {"status": workflow.status, "event_seq": workflow.event_seq}},
    )
