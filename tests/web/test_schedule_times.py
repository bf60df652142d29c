"""When a schedule is due, in any zone, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from workflows_app.problems import Invalid
from workflows_app.schedule_times import Rule, jittered

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


def times(rule: Rule, after: datetime, number: int) -> list[str]:
    return [f"{time:%m-%d %H:%M}" for time in rule.preview(after, number)]


def test_a_cron_line_counts_in_its_zone() -> None:
    rule = Rule("30 6 * * 1-5", None, "Asia/Kathmandu", ANCHOR)  # UTC+5:45
    assert times(rule, datetime(2026, 10, 2, 0, 45, tzinfo=UTC), 2) == [
        "10-05 00:45",
        "10-06 00:45",
    ]


def test_an_hour_that_is_left_out_does_not_leave_out_the_run() -> None:
    """In Berlin, 2026-03-29 has no 02:30."""
    rule = Rule("30 2 * * *", None, "Europe/Berlin", ANCHOR)
    found = times(rule, datetime(2026, 3, 27, 12, tzinfo=UTC), 3)
    assert [found[0], found[2]] == ["03-28 01:30", "03-30 00:30"]
    assert found[1].startswith("03-29")


def test_an_hour_that_comes_twice_runs_once() -> None:
    """In Berlin, 2026-10-25 has 02:30 twice."""
    rule = Rule("30 2 * * *", None, "Europe/Berlin", ANCHOR)
    found = times(rule, datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert [time[:5] for time in found] == ["10-25", "10-26"]


def test_hours_go_on_through_a_change_of_clocks() -> None:
    rule = Rule("0 * * * *", None, "Europe/Berlin", ANCHOR)
    found = rule.preview(datetime(2026, 3, 28, 22, 30, tzinfo=UTC), 5)
    assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


def test_an_interval_counts_from_its_anchor() -> None:
    rule = Rule("", 90, "UTC", ANCHOR)
    assert times(rule, ANCHOR, 2) == ["01-01 00:01", "01-01 00:03"]
    assert rule.first_after(ANCHOR + timedelta(seconds=90)) == ANCHOR + timedelta(seconds=180)
    assert rule.first_after(ANCHOR - timedelta(days=1)) == ANCHOR


@pytest.mark.parametrize(
    ("cron", "every", "zone", "pointer"),
    [
        ("", None, "UTC", "/cron"),
        ("* * * * *", 60, "UTC", "/cron"),
        ("every day", None, "UTC", "/cron"),
        ("* * * *", None, "UTC", "/cron"),
        ("61 * * * *", None, "UTC", "/cron"),
        ("0 0 30 2 *", None, "UTC", "/cron"),
        ("", 0, "UTC", "/every_seconds"),
        ("* * * * *", None, "Mars/Olympus", "/timezone"),
        ("* * * * *", None, "../etc/passwd", "/timezone"),
        ("* * * * *", None, "", "/timezone"),
    ],
)
def test_a_bad_rule_is_pointed_at(cron: str, every: int | None, zone: str, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        Rule(cron, every, zone, ANCHOR)
    assert caught.value.errors[0]["pointer"] == pointer


def test_jitter_is_the_same_for_the_same_time_and_within_its_bounds() -> None:
    delays = [
        jittered(ANCHOR + timedelta(hours=n), "x", 60) - ANCHOR - timedelta(hours=n)
        for n in range(50)
    ]
    assert all(timedelta() <= delay < timedelta(seconds=60) for delay in delays)
    assert len(set(delays)) > 40
    assert jittered(ANCHOR, "x", 60) == jittered(ANCHOR, "x", 60)
    assert jittered(ANCHOR, "x", 0) == ANCHOR
