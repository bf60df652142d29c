"""Groups of failures with what people say of them: read by API and pages alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from workflows_app.models import FailureGroup, FailureTriage, Workflow
from workflows_app.problems import NotFound

State = FailureTriage.State


def groups(state: str = "all") -> QuerySet[Any]:
    """Groups with what people say of them, and when their workflows were created."""
    said = FailureTriage.objects.filter(fingerprint=OuterRef("fingerprint"))
    members = Workflow.objects.filter(
        failure_group=OuterRef("fingerprint"), resolved=False
    ).exclude(failure_group="")
    first, last = members.order_by("created_at", "id"), members.order_by("-created_at", "-id")
    rows = FailureGroup.objects.annotate(
        first_seen_at=Subquery(first.values("created_at")[:1]),
        last_seen_at=Subquery(last.values("created_at")[:1]),
        said=Subquery(said.values("state")[:1]),
        said_at=Subquery(said.values("changed_at")[:1]),
        assignee=Subquery(said.values("assignee")[:1]),
        note=Subquery(said.values("note")[:1]),
        revision=Subquery(said.values("revision")[:1]),
    )
    is_over = Q(said=State.RESOLVED, last_seen_at__lte=F("said_at"))
    if state == State.RESOLVED:
        return rows.filter(is_over)
    if state == State.IGNORED:
        return rows.filter(said=State.IGNORED)
    if state == State.OPEN:
        return rows.exclude(said=State.IGNORED, said__isnull=False).exclude(
            is_over & Q(said__isnull=False)
        )
    return rows


def state_of(group: Any) -> str:
    """What is to be done about a group that :func:`groups` has read."""
    newest: datetime | None = group.last_seen_at
    if group.said == State.RESOLVED and newest is not None and newest > group.said_at:
        return str(State.OPEN)
    return str(group.said or State.OPEN)


def find(fingerprint: str) -> Any:
    """The group with this fingerprint.

    Raises:
        NotFound: no unresolved workflow failed so.
    """
    found = groups().filter(fingerprint=fingerprint).first()
    if found is None:
        raise NotFound(
            f"There is no group of failures {fingerprint!r:.40}, or all its workflows are resolved,"
            " resumed or deleted."
        )
    return found


def query_of(group: FailureGroup) -> str:
    """The query that selects a group's workflows: in a list, an export or a bulk operation."""
    return f"failure:{group.fingerprint} resolved:false"
