"""What beat asks for every few seconds: launch what schedules are due for.

Each schedule is looked at in a transaction that holds its row. What is done for a time, the record of it and the
next time are committed together, so a beat or worker that dies leaves the time due, and two that look at once
take turns: no time is skipped, and none is kept twice.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from workflows_app import access, rules
from workflows_app.models import (
    CommandState,
    Overlap,
    RunState,
    Schedule,
    ScheduleRun,
    Workflow,
)
from workflows_app.problems import Conflict, Problem
from workflows_app.services import audit, commands
from workflows_app.services.launching import launch
from workflows_app.services.schedules import set_next

logger = logging.getLogger(__name__)

AT_ONCE = 100  # times of one schedule in one transaction
# A workflow that was launched this long ago and is not in the registry has been deleted.
SHOWS_WITHIN = timedelta(minutes=1)


def tick() -> int:
    """Act on every time that has come; how many schedules were looked at."""
    now = timezone.now()
    due = Schedule.objects.filter(paused=False, next_run_at__lte=now)
    waiting = Schedule.objects.filter(paused=False, runs__state=RunState.QUEUED)
    ids = set(due.values_list("pk", flat=True)) | set(waiting.values_list("pk", flat=True))
    for pk in sorted(ids):
        try:
            _look_at(pk, now)
        except IntegrityError:
            logger.info("Another worker looks at schedule %s at the same time", pk)
    return len(ids)


def _look_at(pk: int, now: datetime) -> None:
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().filter(pk=pk, paused=False).first()
        if schedule is not None:
            _keep_times(schedule, now)
            _launch_queued(schedule, now)


def trigger(user: User, schedule: Schedule) -> ScheduleRun:
    """Launch a schedule's workflow now, beside whatever runs.

    Raises:
        Forbidden: the account may not manage schedules.
        Problem: it cannot be launched.
    """
    access.require(user, "manage_schedule")
    with transaction.atomic():
        locked = Schedule.objects.select_for_update().get(pk=schedule.pk)
        run = ScheduleRun(schedule=locked, due_at=timezone.now(), origin="trigger")
        _start(run, user)
        run.save()
        audit.record(user, "trigger schedule", target=schedule.name, workflow=run.workflow_id)
    return run


def _keep_times(schedule: Schedule, now: datetime) -> None:
    for _ in range(AT_ONCE):
        due = schedule.next_due_at
        if due is None or schedule.next_run_at is None or schedule.next_run_at > now:
            break
        if not schedule.runs.filter(due_at=due).exists():
            _keep(ScheduleRun(schedule=schedule, due_at=due), now)
        schedule.last_run_at = due
        set_next(schedule, due)
    schedule.save(update_fields=["next_due_at", "next_run_at", "last_run_at"])


def _keep(run: ScheduleRun, now: datetime) -> None:
    schedule = run.schedule
    late = (now - run.due_at).total_seconds() - schedule.jitter_seconds
    if late > schedule.catch_up_seconds:
        run.state = RunState.MISSED
        run.detail = (
            f"nobody could launch it until {late:.0f} s later; the catch-up window is shorter"
        )
    else:
        _keep_beside_others(run, now)
    run.save()


def _keep_beside_others(run: ScheduleRun, now: datetime) -> None:
    policy = run.schedule.overlap
    others = [] if policy == Overlap.ALLOW else _live(run.schedule, now)
    if policy == Overlap.SKIP and others:
        run.state, run.detail = RunState.SKIPPED, f"{others[0].workflow_id} has not ended"
        return
    if policy == Overlap.QUEUE and (others or _queued(run.schedule).exists()):
        run.state = RunState.QUEUED
        return
    if policy == Overlap.CANCEL_OTHER:
        for other in others:
            _cancel(other)
    _start_in_the_owners_name(run)


def _launch_queued(schedule: Schedule, now: datetime) -> None:
    """The oldest that waits, when nothing runs any more; all of them if they may run beside each other."""
    is_free = schedule.overlap == Overlap.ALLOW
    for run in _queued(schedule).order_by("due_at")[:AT_ONCE]:
        if not is_free and _live(schedule, now):
            return
        _start_in_the_owners_name(run)
        run.save()


def _queued(schedule: Schedule) -> QuerySet[ScheduleRun]:
    return schedule.runs.filter(state=RunState.QUEUED)


def _live(schedule: Schedule, now: datetime) -> list[ScheduleRun]:
    """The runs that have not ended."""
    latest = list(schedule.runs.filter(state=RunState.LAUNCHED).select_related("command")[:AT_ONCE])
    rows = Workflow.objects.filter(workflow_id__in=[run.workflow_id for run in latest])
    statuses = dict(rows.values_list("workflow_id", "status"))
    return [run for run in latest if _is_live(run, statuses.get(run.workflow_id), now)]


def _is_live(run: ScheduleRun, status: str | None, now: datetime) -> bool:
    if status is not None:
        return status in rules.ACTIVE
    command = run.command
    if command is None or command.state == CommandState.FAILED:
        return False
    return command.finished_at is None or now - command.finished_at < SHOWS_WITHIN


def _start_in_the_owners_name(run: ScheduleRun) -> None:
    owner = run.schedule.created_by
    if owner is None:
        run.state = RunState.FAILED
        run.detail = "the account of the schedule is gone; somebody has to change the schedule"
        return
    try:
        with transaction.atomic():
            _start(run, owner)
    except Problem as problem:
        logger.warning("Schedule %s: %s", run.schedule.name, problem.detail)
        run.state, run.detail = RunState.FAILED, problem.detail


def _start(run: ScheduleRun, user: User) -> None:
    schedule = run.schedule
    moment = f"{run.due_at:%Y%m%dT%H%M%S}" + (f"-{run.due_at:%f}" if run.due_at.microsecond else "")
    run.command = launch(
        user,
        definition=schedule.definition,
        params=schedule.params,
        workflow_id=f"{schedule.name}-{moment}",
        metadata={"schedule": schedule.name, "due_at": run.due_at.isoformat()},
        tags={**schedule.tags, "schedule": schedule.name},
    )
    run.state, run.workflow_id = RunState.LAUNCHED, run.command.workflow_id


def _cancel(run: ScheduleRun) -> None:
    workflow = Workflow.objects.filter(workflow_id=run.workflow_id).first()
    owner = run.schedule.created_by
    if workflow is None or owner is None:
        return
    try:
        commands.request(owner, "cancel", workflow, reason="the next run of its schedule is due")
    except Conflict as problem:
        logger.info("%s is not canceled: %s", run.workflow_id, problem.detail)
