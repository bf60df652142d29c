"""Pages stay calm while changes arrive: nothing jumps, and what a person does is answered at once."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Act
from tests.web import factories
from workflows_app import after_commit
from workflows_app.models import Workflow

# Layout shifts that nobody caused, added up, and the slowest answer to a key or a click in milliseconds.
WATCH = """
  window.calm = { shift: 0, slowest: 0 };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.calm.shift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.calm.slowest = Math.max(window.calm.slowest, entry.duration);
  }).observe({ type: 'event', buffered: true, durationThreshold: 16 });
"""
CHANGES = 60


def change(number: int) -> None:
    """A task more has ended, as the follower would tell it."""
    row = Workflow.objects.order_by("-created_at")[number % 5]
    Workflow.objects.filter(pk=row.pk).update(
        tasks_successful=number % 12,
        event_seq=number + 100,
        status="RUNNING" if number % 3 else "SUCCESSFUL",
    )
    after_commit.ring({"list": 0, "overview": 0, f"workflow:{row.workflow_id}": number + 100})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("address", ["/workflows/", "/workflows/digits-20261103-101502-4f1c/"])
def test_nothing_jumps_and_keys_are_answered_while_changes_arrive(
    address: str, signed_in: Page, act: Act
) -> None:
    act(factories.showcase)
    signed_in.add_init_script(WATCH)
    signed_in.goto(address)
    expect(signed_in.locator("#live-badge")).to_have_text("Live")
    for number in range(CHANGES):
        act(change, number)
        if number % 6 == 0:
            signed_in.keyboard.press("j")
        time.sleep(0.05)  # twenty changes a second
    calm = signed_in.evaluate("window.calm")
    print(f"{address}: layout shift {calm['shift']:.4f}, slowest answer {calm['slowest']:.0f} ms")
    assert calm["shift"] <= 0.05
