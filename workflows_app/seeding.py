"""Made-up workflows in any number, to look at lists of the size that a company has.

Rows go to the tables in bulk, without a journal behind them, so only an empty registry that nobody follows is
filled. All is decided by the number of a workflow: the same command makes the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.models import Model

from workflows_app import bulk_rows, failures, rollups
from workflows_app.models import Definition, Task, TaskAttempt, Workflow, WorkflowEvent

DEFINITIONS = tuple(f"{what}_{n:02d}" for what in ("etl", "training", "report") for n in range(16))
TEAMS = ("ml", "data", "web", "finance")
ERRORS = ("CUDA out of memory", "connection reset by peer", "no such file: /data/in.csv")
TASKS = ("load", "clean", "write")
EVERY = timedelta(seconds=20)  # one workflow after the other


def seed(workflows: int, until: datetime, *, large: int = 0) -> None:
    """Make workflows with their tasks, attempts and events; the last one is created at ``until``.

    Args:
        workflows: how many; every one has three tasks.
        large: one more workflow with this many tasks, and the id ``seed-large``.
    """
    with transaction.atomic():
        for name in DEFINITIONS:
            Definition.objects.get_or_create(name=name, defaults={"module": "seeded"})
        _insert(Workflow, (_workflow(n, _created(n, workflows, until)) for n in _upto(workflows)))
        _insert(Task, (_task(n, t, _created(n, workflows, until)) for n, t in _tasks(workflows)))
        _insert(TaskAttempt, (_attempt(n, t) for n, t in _tasks(workflows)))
        _insert(WorkflowEvent, _events(workflows, until))
        if large:
            _make_large(workflows + 1, large, until)
        _set_sequences()
        rollups.rebuild()


def status_of(n: int) -> str:
    """Of a hundred workflows ninety are SUCCESSFUL, and the others something else."""
    last = n % 100
    if last < 90:
        return "SUCCESSFUL"
    return ("FAILED", "FAILED", "FAILED", "FAILED", "FAILED", "RESUMABLE", "RESUMABLE", "CANCELED",
            "RUNNING", "PENDING")[last - 90]  # fmt: skip


def _created(n: int, workflows: int, until: datetime) -> datetime:
    return until - EVERY * (workflows - n)


def _upto(workflows: int) -> range:
    return range(1, workflows + 1)


def _tasks(workflows: int) -> Iterator[tuple[int, int]]:
    return ((n, t) for n in _upto(workflows) for t in range(len(TASKS)))


def _workflow(n: int, created: datetime) -> dict[str, Any]:
    status = status_of(n)
    has_ended = status in ("SUCCESSFUL", "FAILED", "CANCELED")
    took = 50 + (n * 7919) % 600_000
    failed = int(status == "FAILED")
    error = _error(n % 3)
    return {
        "id": n,
        "workflow_id": f"seed-{n:07d}",
        "status": status,
        "definition": DEFINITIONS[(n * 31) % len(DEFINITIONS)],
        "params": {"day": n % 365, "rows": n},
        "user_metadata": {"customer": n % 1000},
        "tags": {"team": TEAMS[n % len(TEAMS)]},
        "root_task_id": "write",
        "created_by": f"user{n % 20}",
        "created_at": created,
        "started_at": None if status == "PENDING" else created + timedelta(milliseconds=80),
        "finished_at": created + timedelta(milliseconds=80 + took) if has_ended else None,
        "duration_ms": took if has_ended else None,
        "tasks_total": len(TASKS),
        "tasks_successful": len(TASKS) - failed,
        "tasks_failed": failed,
        "error": error if status in ("FAILED", "RESUMABLE") else None,
        "failure_group": GROUPS[n % 3] if status in ("FAILED", "RESUMABLE") else "",
        "event_seq": 4,
        "status_seq": 4,
        "changed_at": created,
    }


def _error(n: int) -> dict[str, Any]:
    return {"type": "RuntimeError", "message": ERRORS[n], "task_id": "write"}


GROUPS = [failures.describe(_error(n)).fingerprint for n in range(len(ERRORS))]


def _task(n: int, t: int, created: datetime, *, total: int = len(TASKS)) -> dict[str, Any]:
    name = TASKS[t % len(TASKS)]
    start = created + timedelta(milliseconds=80 + 10 * t)
    return {
        "id": (n - 1) * len(TASKS) + t + 1,
        "workflow_id": n,
        "task_id": name if total == len(TASKS) else f"{name}_{t}",
        "name": name,
        "status": "FAILED" if status_of(n) == "FAILED" and name == "write" else "SUCCESSFUL",
        "attempt": 1,
        "upstream": [TASKS[t - 1]] if t and total == len(TASKS) else [],
        "started_at": start,
        "finished_at": start + timedelta(milliseconds=t % 400),
        "duration_ms": t % 400,
        "node": "10.0.0.1",
        "pid": 1000 + t % 50,
        "changed_seq": 4,
    }


def _attempt(n: int, t: int) -> dict[str, Any]:
    return {
        "task_id": (n - 1) * len(TASKS) + t + 1,
        "number": 1,
        "status": "FAILED" if status_of(n) == "FAILED" and t == 2 else "SUCCESSFUL",
        "node": "10.0.0.1",
        "pid": 1000 + t,
    }


def _events(workflows: int, until: datetime) -> Iterator[dict[str, Any]]:
    for n in _upto(workflows):
        created = _created(n, workflows, until)
        for seq, kind in enumerate(("accepted", "task", "succeeded", "status"), start=1):
            yield {
                "workflow_id": n,
                "seq": seq,
                "time": created + timedelta(milliseconds=seq),
                "kind": kind,
                "task_id": "write" if kind in ("task", "succeeded") else None,
                "data": {"status": status_of(n)} if kind == "status" else {},
            }


def _make_large(n: int, tasks: int, until: datetime) -> None:
    row = _workflow(90, until) | {
        "id": n, "workflow_id": "seed-large", "status": "RUNNING", "tasks_total": tasks,
        "tasks_successful": tasks, "tasks_failed": 0, "error": None, "finished_at": None,
        "duration_ms": None,
    }  # fmt: skip
    _insert(Workflow, [row])
    _insert(
        Task, (_task(n, t, until, total=tasks) | {"status": "SUCCESSFUL"} for t in range(tasks))
    )


def _insert(model: type[Model], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows; what a row leaves out has the model's default."""
    defaults = {field.attname: field.get_default() for field in model._meta.concrete_fields}
    whole = (SimpleNamespace(**(defaults | row)) for row in rows)
    bulk_rows.insert(model, whole, with_ids=model not in _NUMBERED)


_NUMBERED = (TaskAttempt, WorkflowEvent)  # nothing refers to them, so the database numbers them


def _set_sequences() -> None:
    """Rows were given their ids; let the database go on after them."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Workflow, Task]):
            cursor.execute(statement)
