"""Making, changing, pausing and triggering schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from workflows_app import access
from workflows_app.models import Definition, RunState, Schedule, ScheduleRun
from workflows_app.problems import Conflict, Invalid, NotFound
from workflows_app.schedule_times import Rule, jittered
from workflows_app.services import audit
from workflows_app.services.launching import check_params

NAME = re.compile(r"[A-Za-z0-9._~-]{1,100}")
MOST_BACKFILLED = 1_000


def rule_of(schedule: Schedule) -> Rule:
    """When it is due.

    Raises:
        Invalid: see :class:`~workflows_app.schedule_times.Rule`.
    """
    return Rule(schedule.cron, schedule.every_seconds, schedule.timezone, schedule.created_at)


def set_next(schedule: Schedule, after: datetime) -> None:
    """Note the first time after ``after`` as the next one."""
    schedule.next_due_at = rule_of(schedule).first_after(after)
    schedule.next_run_at = schedule.next_due_at and jittered(
        schedule.next_due_at, schedule.name, schedule.jitter_seconds
    )


def draft(user: User, fields: Mapping[str, Any]) -> Schedule:
    """A schedule that is checked and not saved.

    Raises:
        Forbidden: the account may not manage schedules, or not start workflows.
        Invalid: a bad name, rule, zone, or parameters that do not fit the definition.
        NotFound: there is no such definition.
    """
    access.require(user, "manage_schedule")
    access.require(user, "start_workflow")
    # Intervals count from here, and the ids of runs show their times: whole seconds are nicer.
    created_at = timezone.now().replace(microsecond=0)
    schedule = Schedule(**fields, created_by=user, created_at=created_at)
    if not NAME.fullmatch(schedule.name):
        raise Invalid(
            "A schedule's name has 1 to 100 of A-Z a-z 0-9 . _ ~ -",
            errors=[{"pointer": "/name", "detail": "1 to 100 of A-Z a-z 0-9 . _ ~ -"}],
        )
    definition = Definition.objects.filter(name=schedule.definition, available=True).first()
    if definition is None:
        raise NotFound(
            f"There is no definition {schedule.definition!r}.", code="unknown_definition"
        )
    check_params(definition, schedule.params)
    set_next(schedule, timezone.now())
    return schedule


def create_schedule(user: User, fields: Mapping[str, Any]) -> Schedule:
    """Make a schedule; its runs are launched in the name of ``user``.

    Raises:
        Conflict: the name is taken.
        Forbidden, Invalid, NotFound: see :func:`draft`.
    """
    schedule = draft(user, fields)
    try:
        with transaction.atomic():
            schedule.save()
            audit.record(user, "create schedule", target=schedule.name)
    except IntegrityError as error:
        raise Conflict(
            f"There is a schedule {schedule.name!r} already; choose another name, or change it.",
            code="schedule_exists",
        ) from error
    return schedule


def replace_schedule(user: User, schedule: Schedule, fields: Mapping[str, Any]) -> Schedule:
    """Change everything but the name; its runs are launched in the name of ``user`` from now on.

    Raises:
        Forbidden, Invalid, NotFound: see :func:`draft`.
    """
    changed = draft(user, {**fields, "name": schedule.name})
    changed.pk, changed.created_at = schedule.pk, schedule.created_at
    changed.paused, changed.pause_reason = schedule.paused, schedule.pause_reason
    changed.last_run_at = schedule.last_run_at
    set_next(changed, timezone.now())
    with transaction.atomic():
        changed.save(force_update=True)
        audit.record(user, "change schedule", target=schedule.name)
    return changed


def delete_schedule(user: User, schedule: Schedule) -> None:
    """Forget a schedule; the workflows that it launched stay.

    Raises:
        Forbidden: the account may not manage schedules.
    """
    access.require(user, "manage_schedule")
    with transaction.atomic():
        audit.record(user, "delete schedule", target=schedule.name)
        schedule.delete()


def pause_schedule(user: User, schedule: Schedule, *, reason: str = "") -> None:
    """Launch nothing more. Times that come meanwhile are left out, not made up for.

    Raises:
        Forbidden: the account may not manage schedules.
    """
    _set_paused(user, schedule, paused=True, reason=reason)


def unpause_schedule(user: User, schedule: Schedule) -> None:
    """Go on with the next time.

    Raises:
        Forbidden: the account may not manage schedules.
    """
    _set_paused(user, schedule, paused=False, reason="")


def backfill(
    user: User, schedule: Schedule, start: datetime, end: datetime, *, dry_run: bool = False
) -> list[datetime]:
    """Have the times from ``start`` to ``end`` run that have not been, one after the other.

    Returns:
        Those times. With ``dry_run`` nothing else is done.

    Raises:
        Forbidden: the account may not manage schedules.
        Invalid: an end before the start, in the future, or too many times.
    """
    access.require(user, "manage_schedule")
    if not start < end <= timezone.now():
        raise Invalid(
            "A backfill is from a time to a later one that has passed.",
            errors=[{"pointer": "/end", "detail": "later than start, and not in the future"}],
        )
    times = rule_of(schedule).after(start - timedelta(microseconds=1))
    within = []
    for due in takewhile(lambda due: due < end, times):
        within.append(due)
        if len(within) > MOST_BACKFILLED:
            raise Invalid(f"That is more than {MOST_BACKFILLED} runs; choose a shorter time.")
    ran = set(
        schedule.runs.filter(due_at__gte=start, due_at__lt=end)
        .exclude(state__in=[RunState.MISSED, RunState.SKIPPED])
        .values_list("due_at", flat=True)
    )
    wanted = [due for due in within if due not in ran]
    if dry_run:
        return wanted
    with transaction.atomic():
        schedule.runs.filter(due_at__in=wanted).delete()
        ScheduleRun.objects.bulk_create(
            ScheduleRun(schedule=schedule, due_at=due, state=RunState.QUEUED, origin="backfill")
            for due in wanted
        )
        audit.record(user, "backfill", target=schedule.name, runs=len(wanted))
    return wanted


def _set_paused(user: User, schedule: Schedule, *, paused: bool, reason: str) -> None:
    access.require(user, "manage_schedule")
    with transaction.atomic():
        locked = Schedule.objects.select_for_update().get(pk=schedule.pk)
        locked.paused, locked.pause_reason = paused, reason
        set_next(locked, timezone.now())
        locked.save(update_fields=["paused", "pause_reason", "next_due_at", "next_run_at"])
        verb = "pause schedule" if paused else "unpause schedule"
        audit.record(user, verb, target=schedule.name, reason=reason)
