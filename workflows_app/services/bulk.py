"""Bulk operations: one verb for any selection of workflows.

The targets are frozen when the operation is asked for, by one INSERT ... SELECT, so neither the
request nor the worker holds a list of ids. Celery then works in chunks:

1. `advance_bulk` gives the next chunk of items a command each, or a reason why not, in one
   transaction. A crash before its commit leaves the items waiting; the sweep starts it again.
2. The commands run like every other command. The last one of the chunk to finish asks for the
   next chunk; if that message is lost, the sweep asks.
3. When no item is open, the operation ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.db.models import QuerySet, UUIDField, Value
from django.db.models.functions import Cast
from django.utils import timezone

from workflows_app import access, after_commit, rules
from workflows_app.models import (
    SHARED,
    STARTS,
    BulkItem,
    BulkItemState,
    BulkOperation,
    BulkState,
    Command,
    CommandState,
    Workflow,
)
from workflows_app.problems import Invalid
from workflows_app.services import audit, bulk_progress
from workflows_app.services.commands import commands_of

CHUNK = 100
SWEEP_SECONDS = 5.0  # the settings have beat ask so often


@dataclass(frozen=True, slots=True)
class Pace:
    """How a bulk operation goes about it.

    Attributes:
        rate: commands a second, on average, at most.
        concurrency: commands under way at a time, at most; 100 if not given.
        stop_after_failures: skip what waits once so many have failed.
    """

    rate: float | None = None
    concurrency: int | None = None
    stop_after_failures: int | None = None


EVEN = Pace()


def request_bulk(
    user: User,
    kind: str,
    *,
    queryset: QuerySet[Workflow] | None = None,
    ids: Sequence[str] | None = None,
    reason: str = "",
    include_failed: bool = False,
    query: str = "",
    token: str | None = None,
    pace: Pace = EVEN,
) -> BulkOperation:
    """Ask for `kind` (cancel, resume or delete) of many workflows.

    Args:
        queryset: "select all": the query itself; its rows are frozen without being fetched.
        ids: a list of workflow ids, instead of a query.
        include_failed: for resume, whether FAILED workflows are meant besides RESUMABLE ones.
        query: the text of the query, to be shown.
        token: what a preview was confirmed with; two operations never have the same.
        pace: how quickly, and when to stop.

    Raises:
        Forbidden: the account lacks the permission for the verb or for bulk operations.
        Invalid: no selection, or one that matches nothing.
    """
    if kind not in rules.ALLOWED:
        raise Invalid(f"{kind!r} is not one of: {', '.join(rules.ALLOWED)}.")
    access.require(user, "bulk")
    access.require(user, access.PERMISSION_OF_KIND[kind])
    if (queryset is None) == (ids is None):
        raise Invalid("A bulk operation needs either a query or a list of workflow ids.")
    selection: dict[str, Any] = {"include_failed": include_failed}
    selection |= {"query": query or True} if queryset is not None else {"ids": len(set(ids or ()))}
    with transaction.atomic():
        bulk = BulkOperation.objects.create(
            kind=kind,
            selection=selection,
            reason=reason,
            created_by=user,
            token=token,
            **asdict(pace),
        )
        total = _freeze(bulk, queryset) if queryset is not None else _freeze_ids(bulk, ids or ())
        if total == 0:
            raise Invalid("The selection holds no workflow, so there is nothing to do.")
        BulkOperation.objects.filter(id=bulk.id).update(total=total)
        bulk.total = total
        audit.record(user, f"bulk {kind}", target=str(bulk.id), reason=reason, total=total)
        after_commit.enqueue(after_commit.ADVANCE_BULK, str(bulk.id))
    return bulk


def advance_bulk(bulk_id: str | UUID) -> None:
    """Send the next chunk of an operation, or end it. Harmless when delivered twice."""
    with transaction.atomic():
        # The row's lock makes two deliveries take turns; the second finds SENT items and leaves.
        bulk = (
            BulkOperation.objects.select_for_update()
            .filter(id=bulk_id, state__in=bulk_progress.OPEN_STATES)
            .first()
        )
        if bulk is None or bulk.items.filter(state=BulkItemState.SENT).exists():
            return
        now, waiting = timezone.now(), bulk.items.filter(state=BulkItemState.WAITING)
        if bulk.not_before > now and waiting.exists():
            return  # The sweep comes back to it.
        BulkOperation.objects.filter(id=bulk.id).update(state=BulkState.RUNNING)
        if bulk.stop_after_failures is not None and bulk.failed >= bulk.stop_after_failures:
            bulk_progress.skip_waiting(bulk.id, f"{bulk.failed} others have failed before")
        items = list(waiting.order_by("id")[: _chunk(bulk)])
        sent = _send(bulk, items)
        if sent and bulk.rate:
            pause = timedelta(seconds=sent / bulk.rate)
            BulkOperation.objects.filter(id=bulk.id).update(not_before=now + pause)
        if bulk_progress.close_if_finished(bulk.id):
            return
        if not sent:
            # All of this chunk was skipped, so no finishing command will ask for the next.
            after_commit.enqueue(after_commit.ADVANCE_BULK, str(bulk.id))


def _chunk(bulk: BulkOperation) -> int:
    """How many are sent at once: no more than may go within the time between two sweeps."""
    paced = max(1, round(bulk.rate * SWEEP_SECONDS)) if bulk.rate else CHUNK
    return min(CHUNK, paced, bulk.concurrency or CHUNK)


def _freeze(bulk: BulkOperation, queryset: QuerySet[Workflow]) -> int:
    """Insert the ids a query matches, inside the database; return how many."""
    rows = queryset.order_by().values_list(
        Cast(Value(bulk.id, output_field=UUIDField()), UUIDField()),
        "workflow_id",
        Value(str(BulkItemState.WAITING)),
        Value(""),
    )
    try:
        select, params = rows.distinct().query.sql_with_params()
    except EmptyResultSet:
        return 0  # Django can tell without asking the database that nothing matches.
    quote = connection.ops.quote_name
    columns = ", ".join(quote(name) for name in ("bulk_id", "workflow_id", "state", "detail"))
    with connection.cursor() as cursor:
        # Only identifiers of our own model are put into the text; every value is a parameter.
        cursor.execute(f"INSERT INTO {quote(BulkItem._meta.db_table)} ({columns}) {select}", params)
        return int(cursor.rowcount)


def _freeze_ids(bulk: BulkOperation, ids: Sequence[str]) -> int:
    unique = list(dict.fromkeys(ids))
    BulkItem.objects.bulk_create(
        (BulkItem(bulk=bulk, workflow_id=workflow_id) for workflow_id in unique), batch_size=500
    )
    return len(unique)


def _send(bulk: BulkOperation, items: list[BulkItem]) -> int:
    """Give each item a command or a reason; return how many got a command."""
    workflows = {
        workflow.workflow_id: workflow
        for workflow in Workflow.objects.select_for_update().filter(
            workflow_id__in=[item.workflow_id for item in items]
        )
    }
    busy = _with_open_commands([item.workflow_id for item in items])
    may = bulk.created_by is not None and access.can(
        bulk.created_by, access.PERMISSION_OF_KIND[bulk.kind]
    )
    for item in items:
        why = _reason_to_skip(bulk, workflows.get(item.workflow_id), may=may)
        if why is None and item.workflow_id in busy:
            why = "another command for it is under way"
        item.state = BulkItemState.SKIPPED if why else BulkItemState.SENT
        item.detail = why or ""
    going = [item for item in items if item.state == BulkItemState.SENT]
    commands = Command.objects.bulk_create(commands_of(bulk, [item.workflow_id for item in going]))
    for item, command in zip(going, commands, strict=True):
        item.command = command
    Workflow.objects.filter(workflow_id__in=[item.workflow_id for item in going]).update(
        pending_command=bulk.kind
    )
    BulkItem.objects.bulk_update(items, ["state", "detail", "command"])
    bulk_progress.count(bulk.id, skipped=len(items) - len(going))
    _announce(commands)
    return len(going)


def _with_open_commands(workflow_ids: list[str]) -> set[str]:
    return set(
        Command.objects.filter(
            workflow_id__in=workflow_ids, state__in=[CommandState.QUEUED, CommandState.RUNNING]
        )
        .exclude(kind__in=[*STARTS, *SHARED])
        .values_list("workflow_id", flat=True)
    )


def _reason_to_skip(bulk: BulkOperation, workflow: Workflow | None, *, may: bool) -> str | None:
    if not may:
        return f"the account may no longer {bulk.kind} workflows"
    if workflow is None:
        return "there is no such workflow any more"
    return rules.refusal(
        bulk.kind,
        status=workflow.status,
        pending_command=workflow.pending_command,
        include_failed=bool(bulk.selection.get("include_failed")),
    )


def _announce(commands: Sequence[Command]) -> None:
    after_commit.enqueue(after_commit.RUN_COMMAND, *(str(command.id) for command in commands))
    topics = {f"workflow:{command.workflow_id}": 0 for command in commands}
    after_commit.ring({"list": 0, **topics} if topics else {})
