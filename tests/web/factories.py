"""Rows of the registry for tests of pages: single ones, and a showcase with every status.

They are written directly, not through a follower, so that a page's test needs no journal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from workflows_app import failures, rollups
from workflows_app.models import (
    AuditEntry,
    ClusterSample,
    Definition,
    FailureGroup,
    FollowerState,
    Schedule,
    ScheduleRun,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
)

DIGITS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "folds": {
            "type": "integer",
            "minimum": 2,
            "maximum": 10,
            "default": 5,
            "title": "Folds",
            "description": "Parts the data is split into for cross-validation.",
        },
        "test_share": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5, "default": 0.2,
                       "title": "Share kept for the test"},
        "kernel": {"enum": ["rbf", "linear", "poly"], "default": "rbf", "title": "Kernel"},
        "seeds": {"type": "array", "items": {"type": "integer"}, "default": [1, 2, 3],
                  "minItems": 1, "title": "Seeds"},
        "grid": {
            "type": "array",
            "items": {"type": "object", "properties": {"C": {"type": "number"}}},
            "default": [{"C": 1.0, "gamma": 0.01}, {"C": 10.0, "gamma": 0.001}],
            "title": "Hyper-parameter sets",
        },
        "keep_model": {"type": "boolean", "default": True, "title": "Keep the model"},
        "label": {"anyOf": [{"type": "string", "maxLength": 40}, {"type": "null"}],
                  "default": None, "title": "Label"},
        "storage": {"$ref": "#/$defs/Storage"},
    },
    "$defs": {
        "Storage": {
            "type": "object",
            "title": "Where to write",
            "properties": {
                "folder": {"type": "string", "default": "models"},
                "compress": {"type": "boolean", "default": False},
            },
        }
    },
    "required": ["storage"],
    "additionalProperties": False,
}  # fmt: skip

TRACEBACK = """Traceback (most recent call last):
  File "/srv/flows/trip.py", line 41, in book_flight
    confirmation = service.reserve(city, nights=nights)
  File "/srv/flows/service.py", line 88, in reserve
    raise ServiceUnavailable(f"{self.host} answered {status}")
flows.service.ServiceUnavailable: flights.example answered 503
"""

TABLE_PREVIEW: dict[str, Any] = {
    "type": "pyarrow.Table",
    "size": 18_432,
    "shape": [12, 4],
    "text": None,
    "json": None,
    "table": {
        "columns": ["C", "gamma", "mean_accuracy", "fit_seconds"],
        "rows": [[10.0 ** (i % 4), 0.001 * (i + 1), round(0.93 + 0.005 * i, 4), 0.21 + i / 50]
                 for i in range(8)],
        "total_rows": 12,
    },
    "truncated": True,
}  # fmt: skip


def definition(name: str = "digits_training", **fields: Any) -> Definition:
    """A launchable definition with one parameter of each kind."""
    values = {
        "description": "Trains a classifier on the digits data set: one task per fit,"
        " then the best set is refitted and evaluated.",
        "module": "examples.digits_training",
        "params_schema": DIGITS_SCHEMA,
        **fields,
    }
    return Definition.objects.create(name=name, **values)


def workflow(workflow_id: str = "digits-1", status: str = "SUCCESSFUL", **fields: Any) -> Workflow:
    """One workflow without tasks."""
    created = fields.pop("created_at", timezone.now() - timedelta(minutes=5))
    values: dict[str, Any] = {
        "definition": "digits_training",
        "params": {"folds": 5},
        "created_by": "omar",
        "created_at": created,
        "started_at": None if status == "PENDING" else created + timedelta(milliseconds=120),
        "changed_at": created,
        "event_seq": 1,
        **fields,
    }
    if status not in ("PENDING", "RUNNING") and "finished_at" not in values:
        values["finished_at"] = created + timedelta(seconds=48)
        values.setdefault("duration_ms", 48_000)
    return Workflow.objects.create(workflow_id=workflow_id, status=status, **values)


def tasks(owner: Workflow, layers: Sequence[tuple[str, int, str]]) -> list[Task]:
    """Layers of tasks, each ``(name, how many, status)``; every layer feeds the next one."""
    made: list[Task] = []
    before: list[str] = []
    start = owner.started_at or owner.created_at
    for depth, (name, number, status) in enumerate(layers):
        rows = [_task(owner, name, n, status, before, start, depth) for n in range(number)]
        made += Task.objects.bulk_create(rows)
        before = [row.task_id for row in rows]
    _count(owner)
    return made


def _task(owner: Workflow, name: str, n: int, status: str, before: list[str],
          start: datetime, depth: int) -> Task:  # fmt: skip
    begun = start + timedelta(seconds=2.2 * depth + 0.13 * n)
    took = 400 + (n * 373) % 1700
    ran = status != "PENDING"
    ended = status in ("SUCCESSFUL", "FAILED", "CANCELED")
    return Task(
        workflow=owner,
        task_id=f"{name}_{n}" if n else name,
        name=name,
        status=status,
        attempt=(3 if status == "FAILED" else 1) if ran else 0,
        upstream=before,
        options={"max_retries": 2, "catch_exceptions": False},
        started_at=begun if ran else None,
        finished_at=begun + timedelta(milliseconds=took) if ended else None,
        duration_ms=took if ended else None,
        error=error(f"{name}_{n}" if n else name) if status == "FAILED" else None,
        preview=TABLE_PREVIEW if status == "SUCCESSFUL" else None,
        node="10.0.0.12" if ran else "",
        pid=4211 + n % 4 if ran else None,
    )


def error(task_id: str | None = None) -> dict[str, Any]:
    """An error as the journal tells it."""
    return {
        "type": "flows.service.ServiceUnavailable",
        "message": "flights.example answered 503",
        "traceback": TRACEBACK,
        "task_id": task_id,
    }


def _count(owner: Workflow) -> None:
    states = list(owner.tasks.values_list("status", flat=True))
    owner.tasks_total = len(states)
    for status in ("pending", "running", "successful", "failed", "canceled"):
        setattr(owner, f"tasks_{status}", states.count(status.upper()))
    owner.save()


def attempts(task: Task, outcomes: Sequence[str]) -> list[TaskAttempt]:
    """Attempts of one task, the first one first."""
    begun = task.started_at or timezone.now()
    return TaskAttempt.objects.bulk_create(
        TaskAttempt(
            task=task,
            number=number,
            status=outcome,
            cause="application" if outcome == "FAILED" else "",
            started_at=begun + timedelta(seconds=number),
            finished_at=begun + timedelta(seconds=number, milliseconds=640),
            error=error(task.task_id) if outcome == "FAILED" else None,
            node="10.0.0.12",
            pid=4211,
        )
        for number, outcome in enumerate(outcomes, start=1)
    )


def events(owner: Workflow, rows: Sequence[tuple[str, str | None, dict[str, Any]]]) -> None:
    """Journal records ``(kind, task id, data)``, numbered from 1."""
    WorkflowEvent.objects.bulk_create(
        WorkflowEvent(
            workflow=owner,
            seq=seq,
            time=owner.created_at + timedelta(milliseconds=150 * seq),
            kind=kind,
            task_id=task_id,
            attempt=1 if kind in ("started", "succeeded", "failed") else None,
            data=data,
        )
        for seq, (kind, task_id, data) in enumerate(rows, start=1)
    )
    Workflow.objects.filter(pk=owner.pk).update(event_seq=len(rows))


def healthy() -> FollowerState:
    """A follower that has just reported."""
    now = timezone.now()
    state, _ = FollowerState.objects.update_or_create(
        id=1,
        defaults={"heartbeat_at": now, "reconciled_at": now, "engine_reachable": True},
    )
    return state


def freshen() -> None:
    """The follower and the watch have just been here."""
    healthy()
    newest = ClusterSample.objects.first()
    if newest is not None:
        ClusterSample.objects.filter(pk=newest.pk).update(time=timezone.now())


def showcase() -> dict[str, Workflow]:
    """Something of everything, as an operator sees it on a busy day."""
    now = timezone.now()
    healthy()
    definition()
    definition("code_census", description="Parses every file of a folder in parallel.",
               params_schema={"type": "object", "properties": {
                   "folder": {"type": "string", "default": ""}}})  # fmt: skip
    definition("trip_booking", description="Books a trip with retries and compensation.",
               params_schema={"type": "object", "properties": {}})  # fmt: skip
    made = {
        "running": workflow("digits-20261103-101502-4f1c", "RUNNING",
                            created_at=now - timedelta(seconds=21)),
        "failed": workflow("trip-lisbon-0412", "FAILED", definition="trip_booking",
                           created_at=now - timedelta(minutes=9), error=error("book_flight"),
                           params={"city": "Lisbon", "nights": 3},
                           user_metadata={"ticket": "OPS-412"}, tags={"team": "travel"}),
        "resumable": workflow("census-stdlib-nightly", "RESUMABLE", definition="code_census",
                              created_at=now - timedelta(hours=3)),
        "successful": workflow("digits-baseline", "SUCCESSFUL", output_preview=TABLE_PREVIEW,
                               created_at=now - timedelta(hours=1), root_task_id="report",
                               params={"folds": 5, "kernel": "rbf", "seeds": [1, 2, 3]},
                               tags={"team": "ml", "purpose": "baseline"}),
        "canceled": workflow("digits-mistake", "CANCELED", created_at=now - timedelta(hours=6)),
        "pending": workflow("census-queued", "PENDING", definition="code_census",
                            created_at=now - timedelta(seconds=4)),
    }  # fmt: skip
    _showcase_tasks(made)
    for number in range(60):
        workflow(f"census-{number:03d}", "FAILED" if number % 11 == 5 else "SUCCESSFUL",
                 definition="code_census", created_at=now - timedelta(minutes=22 * number + 30),
                 tasks_total=12, tasks_successful=9 if number % 11 == 5 else 12,
                 tasks_failed=3 if number % 11 == 5 else 0)  # fmt: skip
    _showcase_of_people(made, now)
    _showcase_cluster(now)
    rollups.rebuild()
    return made


def _showcase_of_people(made: dict[str, Workflow], now: datetime) -> None:
    """What people have to do with: a group of failures, a question, a schedule, the audit log."""
    failure = failures.describe(error("book_flight"))
    FailureGroup.objects.create(
        fingerprint="f" * 16, error_type=failure.error_type, message=failure.message,
        place=failure.place, workflows=1,
    )  # fmt: skip
    Workflow.objects.filter(pk=made["failed"].pk).update(failure_group="f" * 16)
    question = tasks(made["running"], [("ask_operator", 1, "PENDING")])[0]
    wait = {"kind": "approval", "title": "Publish the new classifier?", "assignees": ["omar", "ada"],
            "schema": {"type": "object", "required": ["channel"], "properties": {
                "channel": {"enum": ["stable", "beta"]}, "note": {"type": "string"}}}}  # fmt: skip
    Task.objects.filter(pk=question.pk).update(
        waits_for="approval", waiting_since=now, waiting_until=now + timedelta(hours=2),
        options={"wait": wait},
    )  # fmt: skip
    nightly = Schedule.objects.create(
        name="nightly-census", definition="code_census", cron="30 2 * * *", timezone="Europe/Lisbon",
        next_due_at=now + timedelta(hours=7), next_run_at=now + timedelta(hours=7), last_run_at=now,
    )  # fmt: skip
    for number in range(4):
        ScheduleRun.objects.create(
            schedule=nightly, due_at=now - timedelta(days=number), state="launched",
            workflow_id=f"census-{number:03d}",
        )  # fmt: skip
    for verb, target in (("launch", "trip-lisbon-0412"), ("bulk resume", "12 workflows")):
        AuditEntry.objects.create(
            actor="omar", verb=verb, target=target, detail={"reason": "retry"}
        )


def _showcase_cluster(now: datetime) -> None:
    gib = 2.0**30
    nodes = [
        {"node_id": f"{number}f3a9c2e71d4" * 3, "address": f"10.0.4.{10 + number}", "is_alive": number != 3,
         "is_head": number == 0, "labels": {"zone": "b" if number % 2 else "a"},
         "resources": {"CPU": 16.0, "memory": 48 * gib, "object_store_memory": 12 * gib,
                       **({"GPU": 2.0, "accelerator_type:L4": 1.0} if number else {})}}
        for number in range(4)
    ]  # fmt: skip
    workers = [
        {"name": f"celery@worker-{n}", "threads": 8, "busy": n, "done": 1_204 + 90 * n}
        for n in range(2)
    ]
    ClusterSample.objects.bulk_create(
        ClusterSample(
            time=now - timedelta(minutes=2 * age),
            resources={
                "CPU": [round(24 + 20 * math.sin(age / 9), 1), 64.0],
                "GPU": [float(age % 5), 6.0],
                "memory": [(60 + age / 3) * gib, 192 * gib],
                "object_store_memory": [(41 if age < 20 else 12) * gib, 48 * gib],
            },
            nodes=nodes,
            workers=workers,
            queued=2,
        )
        for age in range(150)
    )


def _showcase_tasks(made: dict[str, Workflow]) -> None:
    tasks(made["running"], [("load_digits", 1, "SUCCESSFUL"), ("fit_one", 26, "SUCCESSFUL"),
                            ("score", 6, "RUNNING"), ("pick_best", 1, "PENDING"),
                            ("report", 1, "PENDING")])  # fmt: skip
    failing = tasks(made["failed"], [("find_offers", 3, "SUCCESSFUL"), ("book_hotel", 1, "SUCCESSFUL"),
                                     ("book_flight", 1, "FAILED"), ("confirm", 1, "PENDING")])  # fmt: skip
    attempts(failing[4], ["FAILED", "FAILED", "FAILED"])
    tasks(made["resumable"], [("list_files", 1, "SUCCESSFUL"), ("parse_file", 180, "SUCCESSFUL"),
                              ("aggregate", 4, "PENDING")])  # fmt: skip
    tasks(made["successful"], [("load_digits", 1, "SUCCESSFUL"), ("fit_one", 36, "SUCCESSFUL"),
                               ("pick_best", 1, "SUCCESSFUL"), ("refit", 1, "SUCCESSFUL"),
                               ("report", 1, "SUCCESSFUL")])  # fmt: skip
    tasks(made["canceled"], [("load_digits", 1, "SUCCESSFUL"), ("fit_one", 5, "CANCELED")])
    events(made["failed"], [
        ("accepted", None, {"definition": "trip_booking"}),
        ("task", "book_flight", {"name": "book_flight", "upstream": ["book_hotel"]}),
        ("status", None, {"status": "RUNNING"}),
        ("started", "book_flight", {}),
        ("failed", "book_flight", {"error": error("book_flight"), "cause": "application",
                                   "next": "final"}),
        ("status", None, {"status": "FAILED", "error": error("book_flight")}),
    ])  # fmt: skip
