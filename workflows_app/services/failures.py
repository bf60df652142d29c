"""What people say of failures: that one needs nobody any more, and what is to be done about a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from workflows_app import access, resolution
from workflows_app.models import FailureGroup, FailureTriage, Resolution, Workflow
from workflows_app.problems import Conflict, NotFound, Stale
from workflows_app.record_kinds import FAILING
from workflows_app.services import audit

MANAGES = "resume_workflow"


def resolve(user: User, workflow: Workflow, *, note: str = "") -> None:
    """Note that a failure needs nobody any more; if the workflow fails again, that is another one.

    Raises:
        Forbidden: the account may not resume workflows.
        Conflict: the workflow has not failed.
    """
    access.require(user, MANAGES)
    with transaction.atomic():
        row = _failed(workflow)
        Resolution.objects.update_or_create(
            workflow_id=row.workflow_id,
            defaults={
                "status_seq": row.status_seq,
                "note": note,
                "resolved_at": timezone.now(),
                "resolved_by": user.get_username(),
            },
        )
        audit.record(user, "resolve", target=row.workflow_id, note=note)
        resolution.refresh([row.workflow_id])


def unresolve(user: User, workflow: Workflow) -> None:
    """Take back that a failure needs nobody any more.

    Raises:
        Forbidden: the account may not resume workflows.
        Conflict: the workflow has not failed, or a fork of it has succeeded.
    """
    access.require(user, MANAGES)
    with transaction.atomic():
        row = _failed(workflow)
        if row.superseded_by is not None:
            raise Conflict(
                f"Workflow {row.workflow_id!r} is resolved by its fork {row.superseded_by!r}, which succeeded."
            )
        Resolution.objects.filter(workflow_id=row.workflow_id).delete()
        audit.record(user, "unresolve", target=row.workflow_id)
        resolution.refresh([row.workflow_id])


def _failed(workflow: Workflow) -> Workflow:
    row = Workflow.objects.select_for_update().filter(pk=workflow.pk).first()
    if row is None:
        raise NotFound(f"There is no workflow {workflow.workflow_id!r}; it has been deleted.")
    if row.status not in FAILING:
        raise Conflict(
            f"Workflow {row.workflow_id!r} is {row.status}; only a FAILED or RESUMABLE workflow can be resolved.",
            extra={"current": {"status": row.status, "event_seq": row.event_seq}},
        )
    return row


def triage(
    user: User, fingerprint: str, changes: Mapping[str, Any], *, revision: int | None = None
) -> FailureTriage:
    """Change the state, the assignee or the note of a group of failures.

    Args:
        revision: the one that the change is meant for; any if None.

    Raises:
        Forbidden: the account may not resume workflows.
        NotFound: there is no such group.
        Stale: somebody else has changed it since ``revision``.
    """
    access.require(user, MANAGES)
    with transaction.atomic():
        if not FailureGroup.objects.filter(fingerprint=fingerprint).exists():
            raise NotFound(f"There is no group of failures {fingerprint!r:.40} any more.")
        FailureTriage.objects.get_or_create(fingerprint=fingerprint)
        mine = FailureTriage.objects.filter(fingerprint=fingerprint)
        if revision is not None:
            mine = mine.filter(revision=revision)
        changed = mine.update(
            **changes,
            revision=F("revision") + 1,
            changed_at=timezone.now(),
            changed_by=user.get_username(),
        )
        if not changed:
            raise Stale(f"Somebody else has changed the group {fingerprint!r}; read it again.")
        audit.record(user, "triage failures", target=fingerprint, **changes)
    return FailureTriage.objects.get(fingerprint=fingerprint)
