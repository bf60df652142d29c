"""Open pages follow the registry by themselves and keep what the reader is doing."""

from __future__ import annotations

import json
import re

from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from rayflow.storage.logs import LogFile
from rayflow.storage.root import open_store
from tests.browser.conftest import Act
from tests.browser.watching import Watch
from tests.web import factories
from workflows_app import after_commit
from workflows_app.models import FailureGroup, Task, Workflow

BADGE = "#live-badge"


def change(workflow_id: str, **fields: object) -> None:
    """What the follower does when records arrive: new row contents, then the doorbells."""
    row = Workflow.objects.get(workflow_id=workflow_id)
    Workflow.objects.filter(pk=row.pk).update(
        event_seq=row.event_seq + 1, changed_at=timezone.now(), **fields
    )
    topics = ("list", "overview", f"workflow:{workflow_id}", f"tasks:{workflow_id}")
    after_commit.ring(dict.fromkeys(topics, row.event_seq + 1))


def arrive(workflow_id: str) -> None:
    factories.workflow(workflow_id, "RUNNING", created_at=timezone.now())
    after_commit.ring({"list": 0, "overview": 0})


def test_a_status_changes_in_the_list_without_reload_and_nothing_else_is_lost(
    signed_in: Page, act: Act
) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/")
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    signed_in.evaluate("window.sameDocument = true")
    box = signed_in.get_by_label("Select trip-lisbon-0412")
    box.check()
    signed_in.get_by_role("link", name="census-003").focus()
    act(change, "census-queued", status="RUNNING", started_at=timezone.now())
    row = signed_in.locator("tr", has_text="census-queued")
    expect(row).to_contain_text("Running")
    assert signed_in.evaluate("window.sameDocument")
    assert signed_in.evaluate("document.activeElement.textContent") == "census-003"
    expect(box).to_be_checked()
    expect(signed_in.get_by_text("1 selected")).to_be_visible()


def test_new_workflows_are_announced_instead_of_pushing_rows(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/")
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    first = signed_in.locator("tbody tr").first
    expect(first).to_contain_text("census-queued")
    place = first.bounding_box()
    act(arrive, "brand-new")
    pill = signed_in.get_by_role("link", name="1 new")
    expect(pill).to_be_visible()
    expect(first).to_contain_text("census-queued")
    assert first.bounding_box() == place
    pill.click()
    expect(signed_in.locator("tbody tr").first).to_contain_text("brand-new")


def grow(workflows: int) -> None:
    FailureGroup.objects.update(workflows=workflows)
    change("trip-lisbon-0412")


def test_what_is_written_and_not_sent_survives_a_refresh(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.goto(f"/failures/{'f' * 16}/")
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    signed_in.get_by_label("Note").fill("half a sentence")
    signed_in.get_by_label("State").select_option("ignored")
    signed_in.get_by_role("button", name="Save").focus()
    act(grow, 7)
    expect(signed_in.get_by_text("7 workflows", exact=True)).to_be_visible()
    expect(signed_in.get_by_label("Note")).to_have_value("half a sentence")
    expect(signed_in.get_by_label("State")).to_have_value("ignored")


def test_the_first_workflow_appears_on_an_empty_list(signed_in: Page, act: Act) -> None:
    signed_in.goto("/workflows/")
    expect(signed_in.get_by_text("No workflows yet")).to_be_visible()
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    act(arrive, "first")
    expect(signed_in.get_by_role("link", name="first")).to_be_visible()


def test_tasks_move_on_the_page_of_a_running_workflow(signed_in: Page, act: Act) -> None:
    owner = act(factories.workflow, "wf", "RUNNING")
    act(factories.tasks, owner, [("fit", 4, "RUNNING")])
    signed_in.goto("/workflows/wf/")
    expect(signed_in.get_by_text("0 of 4 tasks done")).to_be_visible()
    expect(signed_in.locator(BADGE)).to_have_text("Live")

    def finish() -> None:
        Task.objects.update(status="SUCCESSFUL", changed_seq=2, duration_ms=1_000)
        change("wf", status="SUCCESSFUL", tasks_successful=4, tasks_running=0,
               finished_at=timezone.now(), output_preview=factories.TABLE_PREVIEW)  # fmt: skip

    act(finish)
    expect(signed_in.get_by_text("4 of 4 tasks done")).to_be_visible()
    expect(signed_in.get_by_text("mean_accuracy")).to_be_visible()
    expect(signed_in.locator("#status")).to_contain_text("Successful")


def test_an_open_traceback_and_its_selection_survive_a_change(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/trip-lisbon-0412/")
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    trace = signed_in.locator("details.trace")
    trace.locator("summary").click()
    expect(trace).not_to_have_attribute("open", re.compile(".*"))
    act(change, "trip-lisbon-0412", tasks_pending=0, pending_command="resume")
    expect(signed_in.get_by_text("Resume requested, waiting for the engine")).to_be_visible()
    expect(trace).not_to_have_attribute("open", re.compile(".*"))


def test_a_filter_changes_the_address_and_stays_through_live_updates(
    signed_in: Page, act: Act
) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/trip-lisbon-0412/tasks/")
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    signed_in.get_by_label("Status").select_option("FAILED")
    expect(signed_in).to_have_url(re.compile(r"/tasks/\?status=FAILED$"))
    rows = signed_in.locator("tbody tr")
    expect(rows).to_have_count(1)
    act(change, "trip-lisbon-0412", pending_command="resume")
    expect(signed_in.get_by_text("Resume requested")).to_be_visible()
    expect(rows).to_have_count(1)
    signed_in.reload()
    expect(rows).to_have_count(1)
    expect(signed_in.get_by_label("Status")).to_have_value("FAILED")


def test_without_the_socket_the_page_polls_and_says_so(
    signed_in: Page, act: Act, watch: Watch
) -> None:
    watch.allow("WebSocket")
    act(factories.workflow, "wf", "RUNNING")
    signed_in.route_web_socket(re.compile("/ws/v1/"), lambda socket: socket.close(code=1011))
    signed_in.goto("/workflows/wf/")
    expect(signed_in.locator(BADGE)).to_have_text("Polling", timeout=15_000)
    act(Workflow.objects.update, status="SUCCESSFUL")
    expect(signed_in.locator("#status")).to_contain_text("Successful")


def test_the_page_reconnects_and_shows_what_it_missed(
    signed_in: Page, act: Act, watch: Watch
) -> None:
    watch.allow("WebSocket|ERR_INTERNET_DISCONNECTED")
    act(factories.workflow, "wf", "RUNNING")
    sockets: list[object] = []
    closed = {"now": False}

    def serve(route: object) -> None:
        sockets.append(route)
        if closed["now"]:
            route.close(code=1012)  # type: ignore[attr-defined]
        else:
            route.connect_to_server()  # type: ignore[attr-defined]

    signed_in.route_web_socket(re.compile("/ws/v1/"), serve)
    signed_in.goto("/workflows/wf/")
    expect(signed_in.locator(BADGE)).to_have_text("Live")
    closed["now"] = True
    sockets[-1].close(code=1012)  # type: ignore[attr-defined]
    expect(signed_in.locator(BADGE)).to_have_text(re.compile("Offline|Polling"))
    act(change, "wf", status="SUCCESSFUL")
    closed["now"] = False
    expect(signed_in.locator(BADGE)).to_have_text("Live", timeout=20_000)
    expect(signed_in.locator("#status")).to_contain_text("Successful")


def test_a_search_that_cannot_be_read_says_so_once_it_is_finished(
    signed_in: Page, act: Act, watch: Watch
) -> None:
    act(factories.showcase)
    watch.allow_status(400)
    signed_in.goto("/workflows/")
    field = signed_in.locator("#q")
    field.fill("nothing:like")
    expect(field).to_have_attribute("aria-invalid", "true")
    # While it is written, the rows stay.
    expect(signed_in.get_by_role("link", name="trip-lisbon-0412")).to_be_visible()
    field.press("Enter")
    expect(signed_in.get_by_role("heading", name="This query cannot be answered")).to_be_visible()
    field.fill("trip")
    expect(signed_in.get_by_role("link", name="trip-lisbon-0412")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "false")


def test_a_long_log_is_selected_copied_and_scrolled_as_text(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    rows = [
        json.dumps({"t": 1.8e9 + n, "s": "out", "l": None, "m": f"line {n:04d}"})
        for n in range(900)
    ]
    log = LogFile(open_store(settings.RAYFLOW_STORAGE), "trip-lisbon-0412", "book_flight", 3)
    log.append("".join(f"{row}\n" for row in rows).encode())
    signed_in.goto("/workflows/trip-lisbon-0412/tasks/book_flight/logs/?attempt=3")
    lines = signed_in.locator("#log li")
    expect(lines.last).to_contain_text("line 0899")
    copied = signed_in.evaluate(
        """() => {
          const all = document.querySelectorAll('#log li');
          getSelection().setBaseAndExtent(all[all.length - 320], 0, all[all.length - 1], 1);
          return getSelection().toString();
        }"""
    )
    assert copied.count("line 0") >= 319
    signed_in.locator("#log").focus()
    end = signed_in.evaluate("document.querySelector('#log').scrollTop")
    assert end > 0
    signed_in.keyboard.press("PageUp")
    signed_in.wait_for_function(
        "before => document.querySelector('#log').scrollTop < before", arg=end
    )
    # An address of a line opens the same place for somebody else.
    address = lines.nth(10).locator("a").get_attribute("href")
    signed_in.goto(f"/workflows/trip-lisbon-0412/tasks/book_flight/logs/{address}")
    expect(signed_in.locator("#log li:target")).to_be_visible()
