"""Two workflows side by side: what differs in what they were given and in what became of their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet, Subquery

from workflows_app import queries
from workflows_app.models import Task, Workflow

MOST_SHOWN = 100
MOST_DIFFERENCES = 200
_STATUSES = ("pending", "running", "successful", "failed", "canceled")


def compare(a: Workflow, b: Workflow, *, may_see_payload: bool) -> dict[str, Any]:
    """What differs between two workflows, in a bounded document and a constant number of statements."""
    return {
        "params": list(_differences(a.params, b.params)) if may_see_payload else None,
        "tags": list(_differences(a.tags, b.tags)),
        "user_metadata": list(_differences(a.user_metadata, b.user_metadata)),
        "task_groups": _groups(a, b),
        "only_in_a": _alone(a, b),
        "only_in_b": _alone(b, a),
        "first_divergence": _first_divergence(a, b),
    }


def _differences(a: Any, b: Any) -> Iterator[dict[str, Any]]:
    """Where two JSON values differ: a JSON pointer and both sides, null where there is nothing."""
    found = 0
    stack: list[tuple[str, Any, Any]] = [("", a, b)]
    while stack and found < MOST_DIFFERENCES:
        pointer, left, right = stack.pop()
        if left == right and type(left) is type(right):
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            names = sorted({*left, *right}, reverse=True)
            stack += [(f"{pointer}/{_token(n)}", left.get(n), right.get(n)) for n in names]
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            stack += [(f"{pointer}/{n}", left[n], right[n]) for n in reversed(range(len(left)))]
        else:
            found += 1
            yield {"pointer": pointer, "a": left, "b": right}


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _groups(a: Workflow, b: Workflow) -> list[dict[str, Any]]:
    """Tasks by name, of both; ``delta_ms`` is how much longer the median of ``b`` took."""
    left = {group["name"]: group for group in queries.task_groups(a)}
    right = {group["name"]: group for group in queries.task_groups(b)}
    rows = []
    for name in [*left, *(name for name in right if name not in left)]:
        sides = {"a": _side(left.get(name)), "b": _side(right.get(name))}
        medians = [side["p50_ms"] if side else None for side in sides.values()]
        delta = None if None in medians else medians[1] - medians[0]  # type: ignore[operator]
        rows.append({"name": name, **sides, "delta_ms": delta})
    return rows


def _side(group: dict[str, Any] | None) -> dict[str, Any] | None:
    if group is None:
        return None
    names = ("total", *_STATUSES, "most_attempts", "p50_ms", "p95_ms")
    return {name: group[name] for name in names}


def _alone(one: Workflow, other: Workflow) -> dict[str, Any]:
    there = Task.objects.filter(workflow=other, task_id=OuterRef("task_id"))
    rows = Task.objects.filter(~Exists(there), workflow=one)
    shown = list(rows.order_by("id").values_list("task_id", flat=True)[: MOST_SHOWN + 1])
    is_all = len(shown) <= MOST_SHOWN
    number, is_exact = (len(shown), True) if is_all else queries.capped_count(rows)
    return {
        "count": {"value": number, "relation": "eq" if is_exact else "gte"},
        "items": shown[:MOST_SHOWN],
    }


def _first_divergence(a: Workflow, b: Workflow) -> dict[str, Any] | None:
    """The first task, in the order in which they were made, that ended otherwise."""
    twin: QuerySet[Task] = Task.objects.filter(workflow=b, task_id=OuterRef("task_id"))
    rows = Task.objects.filter(workflow=a).annotate(
        there=Subquery(twin.values("status")[:1]),
    )
    differing = rows.filter(there__isnull=False).exclude(status=F("there")).order_by("id")
    found = differing.values("task_id", "name", "status", "there").first()
    if found is None:
        return None
    return {
        "task_id": found["task_id"],
        "name": found["name"],
        "a": found["status"],
        "b": found["there"],
    }
