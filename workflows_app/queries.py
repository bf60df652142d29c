"""Reading queries that the pages, the API, the admin and the bulk operations share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import (
    Count,
    F,
    IntegerField,
    Max,
    Min,
    Model,
    Q,
    QuerySet,
    Window,
)
from django.db.models.functions import RowNumber
from django.utils import timezone

from workflows_app import rollups
from workflows_app.keyset import Sort
from workflows_app.models import FollowerState, Task, Workflow, WorkflowStatus
from workflows_app.problems import Invalid
from workflows_app.search import Search

SORTS = {
    "created": Sort("created_at"),
    "started": Sort("started_at", nullable=True),
    "finished": Sort("finished_at", nullable=True),
    "duration": Sort("duration_ms", nullable=True),
    "changed": Sort("changed_at"),
}
SORTS |= {f"-{name}": Sort(s.column, True, s.nullable) for name, s in SORTS.items()}
COUNT_CAP = 10_000
# Tasks from which on it takes long to go through all of them for one page.
LARGE = 5_000
KEEP_SECONDS = 600
# The follower says it is alive at least this often; beyond, pages show how old their data is.
FRESH_WITHIN = timedelta(seconds=15)


def search(
    queryset: QuerySet[Workflow],
    *,
    q: str = "",
    status: str | Sequence[str] = (),
    definition: str | Sequence[str] = (),
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    may_see_payload: bool = True,
    now: datetime | None = None,
) -> QuerySet[Workflow]:
    """Narrow a queryset of workflows.

    Args:
        q: a query in the language of :mod:`workflows_app.search`.
        status, definition: one, several, or a comma-separated list.
        may_see_payload: whether ``q`` may ask for values and errors.
        now: what relative times in ``q`` are relative to.

    Raises:
        Invalid: an unknown status.
        BadQuery: ``q`` cannot be read or answered.
    """
    statuses = _words(status)
    unknown = [word for word in statuses if word not in WorkflowStatus.values]
    if unknown:
        raise Invalid(
            f"{unknown[0]!r} is not a status; use: {', '.join(WorkflowStatus.values)}.",
            code="bad_query",
            errors=[{"pointer": "/status", "detail": f"unknown status {unknown[0]!r}"}],
        )
    if statuses:
        queryset = queryset.filter(status__in=statuses)
    if definitions := _words(definition):
        queryset = queryset.filter(definition__in=definitions)
    if q := q.strip():
        is_narrowed = bool(statuses or definitions)
        wanted = Search(q, may_see_payload=may_see_payload, is_narrowed=is_narrowed, now=now)
        queryset = queryset.filter(wanted.condition)
    if created_after is not None:
        queryset = queryset.filter(created_at__gte=created_after)
    if created_before is not None:
        queryset = queryset.filter(created_at__lt=created_before)
    return queryset


def actors(queryset: QuerySet[Workflow], *, q: str = "") -> QuerySet[Workflow]:
    """The virtual actors among ``queryset``, those with the text ``q`` in their id or class."""
    queryset = queryset.filter(actor__isnull=False)
    if q := q.strip():
        queryset = queryset.filter(Q(workflow_id__icontains=q) | Q(actor__icontains=q))
    return queryset


def _words(value: str | Sequence[str]) -> list[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()]


def capped_count(queryset: QuerySet[Any], cap: int = COUNT_CAP) -> tuple[int, bool]:
    """How many rows there are, counting no further than `cap`; and whether that is all of them."""
    counted = queryset.order_by().values("pk")[: cap + 1].count()
    return min(counted, cap), counted <= cap


def distinct_values(model: type[Model], field: str, *, limit: int, **where: Any) -> list[str]:
    """The first different values of an indexed text field, in order, one step into the index for each.

    ``SELECT DISTINCT`` would read every row.

    Args:
        where: columns that come before ``field`` in the index, and their values.
    """
    quote, table = connection.ops.quote_name, connection.ops.quote_name(model._meta.db_table)
    column = quote(field)
    fixed = "".join(f" AND {quote(name)} = %s" for name in where)
    next_value = f"SELECT MIN({column}) FROM {table} WHERE {column} > found.value{fixed}"
    with connection.cursor() as cursor:
        # Only identifiers of our own models are put into the text; every value is a parameter.
        cursor.execute(
            f"WITH RECURSIVE found(value) AS (SELECT MIN({column}) FROM {table} WHERE 1 = 1{fixed}"
            f" UNION ALL SELECT ({next_value}) FROM found WHERE found.value IS NOT NULL)"
            " SELECT value FROM found WHERE value IS NOT NULL LIMIT %s",
            [*where.values(), *where.values(), limit],
        )
        return [value for (value,) in cursor.fetchall()]


def task_groups(workflow: Workflow) -> list[dict[str, Any]]:
    """Progress of a workflow by task name, in the order the names first appeared.

    Of a large workflow it is kept until a record changes something.
    """
    if workflow.tasks_total < LARGE:
        return _task_groups(workflow)
    key = f"rayflow:groups:{workflow.mark}:{workflow.event_seq}"
    kept: list[dict[str, Any]] | None = cache.get(key)
    if kept is None:
        cache.set(key, kept := _task_groups(workflow), KEEP_SECONDS)
    return kept


def _task_groups(workflow: Workflow) -> list[dict[str, Any]]:
    tasks = Task.objects.filter(workflow=workflow)
    rows = (
        tasks.order_by()
        .values("name")
        .annotate(
            total=Count("id"),
            **{
                status.lower(): Count("id", filter=Q(status=status))
                for status in ("PENDING", "RUNNING", "SUCCESSFUL", "FAILED", "CANCELED")
            },
            most_attempts=Max("attempt"),
            first_id=Min("id"),
            started_at=Min("started_at"),
            finished_at=Max("finished_at"),
        )
        .order_by("first_id")
    )
    groups: list[dict[str, Any]] = [dict(row) for row in rows]
    medians = _duration_ranks(tasks)
    for group in groups:
        group["p50_ms"], group["p95_ms"] = medians.get(group["name"], (None, None))
    return groups


def _duration_ranks(tasks: QuerySet[Task]) -> dict[str, tuple[int, int]]:
    """Median and 95th percentile of the durations by task name, in one statement.

    Window functions rather than the database's own percentile function, which SQLite lacks.
    """
    ranked = (
        tasks.filter(duration_ms__isnull=False)
        .order_by()
        .annotate(
            rank=Window(RowNumber(), partition_by="name", order_by=["duration_ms", "id"]),
            size=Window(Count("id"), partition_by="name", output_field=IntegerField()),
        )
        .filter(Q(rank=(F("size") * 50 + 99) / 100) | Q(rank=(F("size") * 95 + 99) / 100))
        .values_list("name", "duration_ms")
    )
    found: dict[str, list[int]] = {}
    for name, duration in ranked:
        found.setdefault(name, []).append(int(duration or 0))
    return {name: (min(values), max(values)) for name, values in found.items()}


def overview() -> dict[str, Any]:
    """The numbers of the first page: counts, the last day by hour, and how fresh they are."""
    since = timezone.now() - timedelta(hours=24)
    counted, hours = rollups.totals_and_hours(since)
    counts = {status: counted.get(status, 0) for status in WorkflowStatus.values}
    return {
        "counts": counts,
        "total": sum(counts.values()),
        "last_day": [
            {"hour": row["hour"].isoformat(), "status": row["status"], "n": row["n"]}
            for row in hours
        ],
        "definitions": rollups.by_definition(since, limit=10),
        "follower": follower(),
    }


def follower() -> dict[str, Any]:
    """How fresh the registry is."""
    state = FollowerState.objects.filter(id=1).first()
    if state is None or state.heartbeat_at is None:
        return {"alive": False, "engine_reachable": False, "age_s": None, "detail": ""}
    age = timezone.now() - state.heartbeat_at
    return {
        "alive": age < FRESH_WITHIN,
        "engine_reachable": state.engine_reachable,
        "age_s": round(age.total_seconds(), 1),
        "detail": state.detail,
    }
