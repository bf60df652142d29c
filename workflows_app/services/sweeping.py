"""The sweep: whatever a killed worker or an emptied Redis has lost is sent again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from workflows_app import access, after_commit, rules
from workflows_app.models import (
    BulkItem,
    BulkItemState,
    BulkOperation,
    Command,
    CommandKind,
    CommandState,
    FollowerState,
    Workflow,
)
from workflows_app.services import audit, bulk_progress

# Longer than any command takes; one that is still at work then runs twice, which is harmless.
STALE_AFTER = timedelta(seconds=30)
# How long a dispatched command may lie in the queue before it is sent once more.
RESEND_AFTER = timedelta(seconds=15)
# A command that was created a moment ago is on its way already.
GRACE = timedelta(seconds=3)
# A resume that has been carried out shows in the journal long before.
UNANSWERED_AFTER = timedelta(minutes=2)
LIMIT = 500


def sweep() -> int:
    """Send open commands and bulk operations that nobody is working on; return how many."""
    now = timezone.now()
    FollowerState.objects.update_or_create(id=1, defaults={"swept_at": now})
    Command.objects.filter(state=CommandState.RUNNING, started_at__lt=now - STALE_AFTER).update(
        state=CommandState.QUEUED, not_before=now - GRACE
    )
    _forget_unanswered(now)
    due = Command.objects.filter(state=CommandState.QUEUED, not_before__lte=now - GRACE)
    found = list(due.order_by("not_before").values_list("id", flat=True)[:LIMIT])
    # The date is moved by a conditional update, so two sweeps do not both send a command.
    ours = [
        str(command_id)
        for command_id in found
        if due.filter(id=command_id).update(not_before=now + RESEND_AFTER)
    ]
    after_commit.enqueue(after_commit.RUN_COMMAND, *ours)
    return len(ours) + _send_idle_bulks()


def _forget_unanswered(now: datetime) -> None:
    """Take away the mark of a resume after which the journal said nothing: it changed nothing."""
    asked = Command.objects.filter(workflow_id=OuterRef("workflow_id"), kind=CommandKind.RESUME)
    recent = asked.filter(
        Q(state__in=(CommandState.QUEUED, CommandState.RUNNING))
        | Q(finished_at__gte=now - UNANSWERED_AFTER)
    )
    Workflow.objects.filter(
        ~Exists(recent),
        pending_command=CommandKind.RESUME,
        status__in=rules.allowed_statuses(CommandKind.RESUME),
    ).update(pending_command=None)


def send_again(user: User, commands: QuerySet[Command]) -> int:
    """Dispatch open commands now, for someone who thinks they are stuck; return how many.

    Raises:
        Forbidden: the account lacks the permission for bulk operations.
    """
    access.require(user, "bulk")
    open_states = (CommandState.QUEUED, CommandState.RUNNING)
    ids = [
        str(each) for each in commands.filter(state__in=open_states).values_list("id", flat=True)
    ]
    after_commit.enqueue(after_commit.RUN_COMMAND, *ids)
    audit.record(user, "send again", target="", commands=len(ids))
    return len(ids)


def _send_idle_bulks() -> int:
    in_flight = BulkItem.objects.filter(bulk=OuterRef("pk"), state=BulkItemState.SENT)
    idle = BulkOperation.objects.filter(
        ~Exists(in_flight),
        state__in=bulk_progress.OPEN_STATES,
        created_at__lt=timezone.now() - GRACE,
        not_before__lte=timezone.now(),
    )
    ids = [str(bulk_id) for bulk_id in idle.values_list("id", flat=True)[:LIMIT]]
    after_commit.enqueue(after_commit.ADVANCE_BULK, *ids)
    return len(ids)
