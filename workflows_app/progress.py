"""How long a workflow will probably still take, from what its finished tasks took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from workflows_app.models import Workflow, WorkflowStatus


@dataclass(frozen=True, slots=True)
class Estimate:
    """The time left in milliseconds; ``is_lower_bound``: of some tasks nothing is known yet."""

    left_ms: int
    is_lower_bound: bool


def estimate(
    workflow: Workflow, groups: Iterable[Mapping[str, Any]], *, now: datetime
) -> Estimate | None:
    """The work that is left, at the pace seen so far; None when nothing can be said.

    The work left is the median duration of each task name times how many of its tasks have not ended.
    The pace is how many tasks ran side by side on average since the start.

    Args:
        groups: as :func:`workflows_app.queries.task_groups` gives them.
    """
    if workflow.status != WorkflowStatus.RUNNING or workflow.started_at is None:
        return None
    elapsed = max(1.0, (now - workflow.started_at).total_seconds() * 1000)
    done = left = 0.0
    unknown = False
    for group in groups:
        waiting = group["pending"] + group["running"]
        median = group["p50_ms"]
        if median is None:
            unknown = unknown or waiting > 0
            continue
        done += median * (group["total"] - waiting)
        left += median * waiting
    if not done or not left:
        return None
    side_by_side = max(1.0, done / elapsed)
    return Estimate(round(left / side_by_side), unknown)
