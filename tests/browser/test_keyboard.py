"""The main stories without a mouse. Wherever the focus is, it can be seen."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Act
from tests.browser.watching import Watch
from tests.web import factories
from workflows_app.models import BulkOperation, Command, Schedule

# Whether the element with the focus differs from how it looks without: an outline, a ring, a border.
IS_SEEN = """() => {
  const style = getComputedStyle(document.activeElement);
  const inner = document.activeElement.querySelector('.node-box');
  return style.outlineStyle !== 'none' || style.boxShadow !== 'none' ||
    (inner !== null && getComputedStyle(inner).strokeWidth !== '1px');
}"""
MOST_STEPS = 120


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until ``wanted`` has the focus; on the way, every stop shows that it has it."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        place = page.evaluate("document.activeElement.outerHTML.slice(0, 120)")
        assert page.evaluate(IS_SEEN), f"the focus cannot be seen on {place}"
        if wanted.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"{MOST_STEPS} times Tab did not lead to {wanted}")


def go_to(page: Page, words: str) -> None:
    """By the palette."""
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Go to")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type(words)
    expect(page.locator("#palette-hits [aria-selected=true]")).to_contain_text(
        re.compile(words, re.I)
    )
    page.keyboard.press("Enter")


def test_a_workflow_is_launched(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    go_to(signed_in, "launch a")
    signed_in.wait_for_url("**/launch/")
    tab_to(signed_in, signed_in.get_by_role("link", name=re.compile("^digits_training")))
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/launch/?definition=digits_training")
    tab_to(signed_in, signed_in.get_by_label("Folds"))
    signed_in.keyboard.press("Control+a")
    signed_in.keyboard.type("7")
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text(re.compile("Launch of .* requested"))).to_be_visible()
    assert act(Command.objects.get).payload["params"]["folds"] == 7


def test_a_failed_run_is_found_its_error_read_and_it_is_forked_from_a_task(
    signed_in: Page, act: Act, watch: Watch
) -> None:
    act(factories.showcase)
    watch.allow_status(400)  # the query that is being written
    signed_in.keyboard.press("g")
    signed_in.keyboard.press("w")
    signed_in.wait_for_url("**/workflows/")
    signed_in.keyboard.press("/")
    signed_in.keyboard.type("status:FA")
    expect(signed_in.locator("#q-options [role=option]")).to_have_count(1)
    signed_in.keyboard.press("ArrowDown")
    signed_in.keyboard.press("Enter")
    expect(signed_in.locator("#q")).to_have_value("status:FAILED ")
    signed_in.keyboard.type("trip")
    expect(signed_in.get_by_text("1 of 1 workflow")).to_be_visible()
    signed_in.keyboard.press("Escape")
    tab_to(signed_in, signed_in.get_by_role("link", name="trip-lisbon-0412", exact=True))
    signed_in.keyboard.press("Enter")
    # The list shows the error too, and a page that is not loaded yet knows no keys.
    signed_in.wait_for_url("**/workflows/trip-lisbon-0412/")
    expect(signed_in.get_by_text("flights.example answered 503").first).to_be_visible()
    signed_in.keyboard.press("2")
    signed_in.wait_for_url("**/tasks/")
    tab_to(signed_in, signed_in.get_by_role("link", name="book_flight", exact=True))
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/tasks/book_flight/")
    tab_to(signed_in, signed_in.get_by_role("link", name="Fork from here"))
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/plan/**")
    expect(signed_in.get_by_label("Begin at")).to_have_value("book_flight\n")
    tab_to(signed_in, signed_in.get_by_role("button", name="Plan a fork"))
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("The engine works out the plan.")).to_be_visible()
    command = act(Command.objects.get)
    assert (command.kind, command.payload["from_tasks"]) == ("plan", ["book_flight"])


def test_running_workflows_are_canceled_in_bulk(signed_in: Page, act: Act) -> None:
    for number in range(4):
        act(factories.workflow, f"busy-{number}", "RUNNING")
    signed_in.goto("/workflows/")
    signed_in.keyboard.press("j")
    expect(signed_in.get_by_role("link", name="busy-3", exact=True)).to_be_focused()
    signed_in.keyboard.press("x")
    signed_in.keyboard.press("j")
    signed_in.keyboard.press("j")
    signed_in.keyboard.press("Shift+X")
    expect(signed_in.get_by_text("3 selected")).to_be_visible()
    button = signed_in.get_by_role("button", name="Cancel…")
    tab_to(signed_in, button)
    signed_in.keyboard.press("Enter")
    dialog = signed_in.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Keep as they are")).to_be_focused()
    signed_in.keyboard.press("Escape")
    expect(button).to_be_focused()
    signed_in.keyboard.press("Enter")
    expect(dialog.get_by_role("link", name="Keep as they are")).to_be_focused()
    tab_to(signed_in, dialog.get_by_role("button", name="Cancel 3 workflows"))
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("Cancel of 3 workflows requested.")).to_be_visible()
    assert act(BulkOperation.objects.get).kind == "cancel"


def test_a_question_is_answered(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.keyboard.press("g")
    signed_in.keyboard.press("a")
    signed_in.wait_for_url("**/approvals/")
    tab_to(
        signed_in,
        signed_in.get_by_role("link", name=re.compile("Publish the new classifier|Answer")).first,
    )
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/answer/")
    tab_to(signed_in, signed_in.get_by_label("channel"))
    signed_in.keyboard.press("s")
    tab_to(signed_in, signed_in.get_by_role("button", name="Approve"))
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("Approval of ask_operator")).to_be_visible()
    command = act(Command.objects.get)
    assert command.kind == "tell"
    assert command.payload["payload"] == {"approved": True, "answer": {"channel": "stable"}}


def test_a_schedule_is_made(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    go_to(signed_in, "new schedule")
    signed_in.wait_for_url("**/new-schedule/")
    tab_to(signed_in, signed_in.get_by_role("link", name=re.compile("^code_census")))
    signed_in.keyboard.press("Enter")
    signed_in.wait_for_url("**/new-schedule/?definition=code_census")
    tab_to(signed_in, signed_in.get_by_label("Name", exact=True))
    signed_in.keyboard.type("every-morning")
    tab_to(signed_in, signed_in.get_by_label("Cron", exact=False).first)
    signed_in.keyboard.type("0 6 * * *")
    signed_in.keyboard.press("Enter")
    # Enter shows the next times first; nothing is stored yet.
    expect(signed_in.get_by_role("heading", name="Next times")).to_be_visible()
    assert not act(Schedule.objects.filter(name="every-morning").exists)
    tab_to(signed_in, signed_in.get_by_role("button", name="Save"))
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("heading", name="every-morning")).to_be_visible()
    assert act(Schedule.objects.get, name="every-morning").cron == "0 6 * * *"


def test_keys_of_a_workflow_ask_and_never_act(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/trip-lisbon-0412/")
    signed_in.keyboard.press("r")
    dialog = signed_in.get_by_role("dialog")
    expect(dialog.get_by_text("Resume this workflow?")).to_be_visible()
    signed_in.keyboard.press("Escape")
    assert not act(Command.objects.exists)
    before = signed_in.locator("time").first.text_content()
    signed_in.keyboard.press("t")
    expect(signed_in.locator("time").first).not_to_have_text(str(before))
    signed_in.keyboard.press("l")
    signed_in.wait_for_url("**/logs/")
    signed_in.context.add_cookies([{"name": "keys", "value": "off", "url": signed_in.url}])
    signed_in.keyboard.press("f")
    signed_in.keyboard.press("Control+k")
    expect(signed_in.get_by_role("combobox", name="Go to")).to_be_focused()
    assert signed_in.url.endswith("/logs/")
