"""The estimate of the time left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from workflows_app.models import Workflow
from workflows_app.progress import Estimate, estimate

NOW = timezone.now()


def running(seconds: float = 100) -> Workflow:
    return Workflow(status="RUNNING", started_at=NOW - timedelta(seconds=seconds))


def group(total: int, left: int, median: int | None, running: int = 0) -> dict[str, Any]:
    return {"total": total, "pending": left - running, "running": running, "p50_ms": median}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        # 100 tasks of 1 s one after the other, 50 of them done in... 100 s: never quicker than one by one.
        ([group(100, 50, 1_000)], Estimate(50_000, False)),
        # Four side by side: 400 s of work done in 100 s.
        ([group(800, 400, 1_000, running=4)], Estimate(100_000, False)),
        # Nothing is known of the second name yet.
        ([group(200, 100, 1_000), group(1, 1, None)], Estimate(100_000, True)),
        ([group(10, 0, 1_000)], None),
        ([group(10, 10, None)], None),
        ([], None),
    ],
)
def test_the_work_left_at_the_pace_seen(
    groups: list[dict[str, Any]], expected: Estimate | None
) -> None:
    assert estimate(running(), groups, now=NOW) == expected


def test_only_what_runs_has_time_left() -> None:
    groups = [group(100, 50, 1_000)]
    for status in ("PENDING", "FAILED", "SUCCESSFUL", "RESUMABLE", "CANCELED"):
        assert estimate(Workflow(status=status, started_at=NOW), groups, now=NOW) is None
    assert estimate(Workflow(status="RUNNING", started_at=None), groups, now=NOW) is None


def test_clocks_that_disagree_do_no_harm() -> None:
    found = estimate(running(-30), [group(100, 50, 1_000)], now=NOW)
    assert found is not None
    assert found.left_ms > 0
