"""The drawings of many tasks: the graph of 10,000 of them and a timeline of 40,000, in a real browser."""

from __future__ import annotations

import random
import re
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from tests.browser.conftest import Act
from tests.browser.test_pages_look import overflow, picture, violations
from tests.browser.watching import Watch
from tests.web import factories
from workflows_app.models import Task, Workflow

# How often a page can be painted while something moves it, in frames a second.
FRAMES = """(move) => new Promise((done) => {
  let frames = 0;
  const begun = performance.now();
  const step = () => {
    frames += 1;
    document.querySelector(move.where)?.dispatchEvent(
      new WheelEvent('wheel', { deltaY: frames % 40 < 20 ? 60 : -60, clientX: 600, clientY: 500,
        bubbles: true, cancelable: true }));
    if (move.scroll) document.querySelector(move.where).scrollTop += 300;
    if (performance.now() - begun < 1500) requestAnimationFrame(step);
    else done(frames / ((performance.now() - begun) / 1000));
  };
  requestAnimationFrame(step);
})"""


def large(tasks: int, edges: int = 0) -> None:
    """A workflow of so many tasks, each fed by some before it, as the follower would have written it."""
    chance = random.Random(7)
    start = timezone.now() - timedelta(hours=1)
    owner = factories.workflow("large", "RUNNING", created_at=start, started_at=start)
    rows = []
    for n in range(tasks):
        sources = (
            {f"t{chance.randrange(max(0, n - 400), n):05d}" for _ in range(edges // tasks)}
            if n
            else set()
        )
        begin = start + timedelta(milliseconds=40 * n)
        status = "FAILED" if n % 997 == 5 else "RUNNING" if n > tasks - 20 else "SUCCESSFUL"
        end = (
            None
            if status == "RUNNING"
            else begin + timedelta(milliseconds=chance.randrange(50, 4_000))
        )
        rows.append(
            Task(workflow=owner, task_id=f"t{n:05d}", name=f"stage{n * 9 // tasks}", status=status,
                 attempt=1, upstream=sorted(sources), started_at=begin, finished_at=end)
        )  # fmt: skip
    Task.objects.bulk_create(rows, batch_size=5_000)
    Workflow.objects.filter(pk=owner.pk).update(tasks_total=tasks, tasks_successful=tasks - 20)


def fail_some(number: int) -> None:
    ids = (
        Task.objects.filter(status="SUCCESSFUL")
        .order_by("-id")
        .values_list("pk", flat=True)[:number]
    )
    Task.objects.filter(pk__in=list(ids)).update(status="FAILED", changed_seq=50)
    Workflow.objects.update(event_seq=50)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_task_of_a_large_workflow_is_drawn_and_follows(
    theme: str, signed_in: Page, act: Act, server: str, watch: Watch
) -> None:
    act(large, 10_000, 30_000)
    signed_in.context.add_cookies([{"name": "theme", "value": theme, "url": server}])
    begun = time.perf_counter()
    signed_in.goto("/workflows/large/graph/?view=all")
    frame = signed_in.locator("#whole-graph")
    expect(frame).to_have_attribute("data-drawn", "10000", timeout=60_000)
    print(
        f"graph of 10,000 tasks, {theme}: drawn {time.perf_counter() - begun:.1f} s after it was asked for"
    )
    expect(frame.locator("[data-told]")).to_contain_text("10000 tasks, 2")
    signed_in.locator("[data-find]").fill("t00042")
    expect(frame.locator("[data-told]")).to_have_text("1 of 10000 tasks found")
    signed_in.locator("[data-find]").fill("")
    failed = frame.locator('[data-count="f"]')
    expect(failed).to_have_text("11")
    act(fail_some, 1_000)
    expect(failed).to_have_text("1011")
    frames = signed_in.evaluate(FRAMES, {"where": ".sigma-mouse", "scroll": False})
    print(f"graph of 10,000 tasks, {theme}: {frames:.0f} frames/s while zooming, without a GPU")
    signed_in.reload()  # what was zoomed is whole again
    expect(frame).to_have_attribute("data-drawn", "10000", timeout=60_000)
    picture(signed_in, f"graph-all-{theme}-wide")
    assert violations(signed_in, "whole graph") + overflow(signed_in, "whole graph") == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_timeline_of_a_large_workflow_is_drawn_scrolled_and_read(
    theme: str, signed_in: Page, act: Act, server: str
) -> None:
    act(large, 40_000)
    signed_in.context.add_cookies([{"name": "theme", "value": theme, "url": server}])
    signed_in.goto("/workflows/large/timeline/")
    frame = signed_in.locator("#all-bars")
    expect(frame).to_have_attribute("data-drawn", "40000", timeout=60_000)
    frames = signed_in.evaluate(FRAMES, {"where": "[data-scroll]", "scroll": True})
    print(f"timeline of 40,000 bars, {theme}: {frames:.0f} frames/s while scrolling, without a GPU")
    picture(signed_in, f"timeline-all-{theme}-wide")
    signed_in.locator("[data-scroll]").focus()
    signed_in.keyboard.press("Home")
    signed_in.keyboard.press("ArrowDown")
    expect(frame.locator("[data-told]")).to_contain_text("t00001: successful, ran ")
    signed_in.keyboard.press("+")
    expect(signed_in).to_have_url(re.compile(r"from=.*to="))
    address = signed_in.url
    signed_in.goto(address)
    expect(frame).to_have_attribute("data-drawn", "40000", timeout=60_000)
    assert signed_in.url == address
    assert violations(signed_in, "timeline") + overflow(signed_in, "timeline") == []
    signed_in.locator("[data-find]").fill("t00777")
    expect(frame).to_have_attribute("data-drawn", "1")
    signed_in.locator("[data-scroll]").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in).to_have_url(re.compile(r"/tasks/t00777/$"))


def test_without_webgl_the_page_says_where_the_same_is(signed_in: Page, act: Act) -> None:
    act(large, 50, 100)
    signed_in.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    signed_in.goto("/workflows/large/graph/?view=all")
    expect(signed_in.locator("[data-told]")).to_contain_text("no WebGL")
    signed_in.get_by_role("link", name="The same as a table of tasks").click()
    expect(signed_in.get_by_role("link", name="t00049")).to_be_visible()
