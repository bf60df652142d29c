"""How many workflows there are by hour, definition and status, and how many failed alike, counted as they change.

So a page never counts the table. Every change of a workflow's row in :mod:`workflows_app.projection` moves it
from one count to another in the same transaction; :func:`rebuild` counts everything anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet, Sum

from workflows_app import failures
from workflows_app.models import FailureGroup, Rollup, Workflow

#: The hour of the rows that count all hours together.
EVER = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS = ("created_at", "definition", "status", "duration_ms", "failure_group", "resolved")
Key = tuple[datetime, str, str]


class Counted(NamedTuple):
    """What of a workflow decides where it is counted."""

    created_at: datetime
    definition: str | None
    status: str
    duration_ms: int | None
    failure_group: str
    resolved: bool

    @classmethod
    def of(cls, workflow: Workflow) -> Counted:
        return cls(*(getattr(workflow, name) for name in _FIELDS))

    @property
    def keys(self) -> tuple[Key, Key]:
        definition = self.definition or ""
        return (_hour(self.created_at), definition, self.status), (EVER, definition, self.status)

    @property
    def open_failure(self) -> str:
        """The group of failures in which it counts, if it does in any."""
        return "" if self.resolved else self.failure_group


class Changes:
    """Changes of some workflows, to be saved together; inside the transaction that changes their rows."""

    def __init__(self) -> None:
        self._changes: dict[Key, list[int]] = {}
        self._failures: dict[str, int] = {}

    def came(self, workflow: Counted) -> None:
        """It is there now, or it is like this now."""
        self._add(workflow, +1)

    def left(self, workflow: Counted) -> None:
        """It is gone, or was like this before."""
        self._add(workflow, -1)

    def left_all(self, workflows: QuerySet[Workflow]) -> None:
        """All of these are gone."""
        for row in workflows.values_list(*_FIELDS):
            self.left(Counted(*row))

    def save(self) -> None:
        """Bring the counts up to date; the workflows' rows are as they are to be counted."""
        self.save_failures()
        changes = dict(self.items())
        if not changes:
            return
        rows = _rows(changes)
        for key, (number, duration) in changes.items():
            rows[key].workflows += number
            rows[key].duration_ms += duration
        Rollup.objects.bulk_create(
            rows.values(),
            update_conflicts=True,
            unique_fields=["hour", "definition", "status"],
            update_fields=["workflows", "duration_ms"],
        )
        if any(row.workflows == 0 for row in rows.values()):
            Rollup.objects.filter(workflows=0).delete()

    def save_failures(self) -> None:
        """Bring the counts of the groups of failures up to date."""
        _save_failures({group: n for group, n in self._failures.items() if n})

    def items(self) -> Iterable[tuple[Key, tuple[int, int]]]:
        """What changes where: the number of workflows, and their milliseconds together."""
        return ((key, (n, ms)) for key, (n, ms) in self._changes.items() if n or ms)

    def _add(self, workflow: Counted, sign: int) -> None:
        for key in workflow.keys:
            change = self._changes.setdefault(key, [0, 0])
            change[0] += sign
            change[1] += sign * (workflow.duration_ms or 0)
        if group := workflow.open_failure:
            self._failures[group] = self._failures.get(group, 0) + sign


def _save_failures(changes: Mapping[str, int]) -> None:
    if not changes:
        return
    known = {row.fingerprint: row for row in FailureGroup.objects.filter(fingerprint__in=changes)}
    for group, n in changes.items():
        if group not in known:
            known[group] = _new_group(group)
        known[group].workflows += n
    FailureGroup.objects.bulk_create(
        [known[group] for group in sorted(changes)],
        update_conflicts=True,
        unique_fields=["fingerprint"],
        update_fields=["workflows"],
    )
    if any(known[group].workflows == 0 for group in changes):
        FailureGroup.objects.filter(workflows=0).delete()


def _new_group(fingerprint: str) -> FailureGroup:
    """A group of nobody yet, described by any workflow of it."""
    error = Workflow.objects.filter(failure_group=fingerprint).values_list("error", flat=True)
    _, kind, message, place = failures.describe(error.first())
    return FailureGroup(fingerprint=fingerprint, error_type=kind, message=message, place=place)


def _rows(keys: Iterable[Key]) -> dict[Key, Rollup]:
    """The stored counts of these keys, and new ones of zero where there are none."""
    hours, definitions, statuses = (set(part) for part in zip(*keys, strict=True))
    stored = Rollup.objects.filter(hour__in=hours, definition__in=definitions, status__in=statuses)
    found = {(row.hour, row.definition, row.status): row for row in stored}
    counts = {k: (found[k].workflows, found[k].duration_ms) if k in found else (0, 0) for k in keys}
    return {key: _row(key, number, took) for key, (number, took) in counts.items()}


def _row(key: Key, workflows: int, duration_ms: int) -> Rollup:
    hour, definition, status = key
    return Rollup(
        hour=hour,
        definition=definition,
        status=status,
        workflows=workflows,
        duration_ms=duration_ms,
    )


def rebuild() -> None:
    """Count all workflows anew."""
    counts = Changes()
    with transaction.atomic():
        Rollup.objects.all().delete()
        FailureGroup.objects.all().delete()
        for row in Workflow.objects.values_list(*_FIELDS).order_by().iterator():
            counts.came(Counted(*row))
        Rollup.objects.bulk_create(
            (_row(k, n, ms) for k, (n, ms) in counts.items()), batch_size=1000
        )
        counts.save_failures()


def totals_and_hours(since: datetime) -> tuple[dict[str, int], list[Mapping[str, Any]]]:
    """How many workflows there are of each status that there is, and how many were created when.

    That is ``hour``, ``status`` and ``n`` of those created since the hour of ``since``, in order.
    """
    wanted = Rollup.objects.filter(Q(hour=EVER) | Q(hour__gte=_hour(since))).order_by()
    counted = wanted.values("hour", "status").annotate(n=Sum("workflows"))
    rows: list[Any] = list(counted.order_by("hour", "status"))
    ever = {row["status"]: row["n"] for row in rows if row["hour"] == EVER}
    return ever, [row for row in rows if row["hour"] != EVER]


def by_definition(since: datetime, limit: int) -> list[dict[str, Any]]:
    """The definitions with the most workflows since the hour of ``since``.

    Each with ``definition``, ``total``, ``failed`` and ``mean_ms`` of those that have ended.
    """
    rows = Rollup.objects.filter(hour__gte=_hour(since)).exclude(definition="").order_by()
    found: dict[str, dict[str, Any]] = {}
    grouped = rows.values("definition", "status").annotate(
        n=Sum("workflows"), ms=Sum("duration_ms")
    )
    for row in grouped:
        one = found.setdefault(row["definition"], {"total": 0, "failed": 0, "ended": 0, "ms": 0})
        one["total"] += row["n"]
        one["failed"] += row["n"] if row["status"] == "FAILED" else 0
        if row["ms"]:
            one["ended"] += row["n"]
            one["ms"] += row["ms"]
    ranked = sorted(found.items(), key=lambda item: (-item[1]["total"], item[0]))[:limit]
    return [
        {
            "definition": name,
            "total": one["total"],
            "failed": one["failed"],
            "mean_ms": one["ms"] / one["ended"] if one["ended"] else None,
        }
        for name, one in ranked
    ]


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
