"""What people do on the pages, by mouse, by keyboard, and without scripts."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Act
from tests.browser.watching import Watch
from tests.web import factories
from workflows_app.models import BulkOperation, Command, Workflow


def test_somebody_signs_in_with_the_keyboard_and_comes_where_they_wanted(
    page: Page, operator_password: str
) -> None:
    page.goto("/workflows/")
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    page.get_by_label("Password").fill(operator_password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Workflows", exact=True)).to_be_visible()


def test_a_workflow_is_canceled_by_keyboard_alone(signed_in: Page, act: Act) -> None:
    act(factories.workflow, "wf", "RUNNING")
    signed_in.goto("/workflows/wf/")
    signed_in.get_by_role("link", name="Cancel").focus()
    signed_in.keyboard.press("Enter")
    dialog = signed_in.get_by_role("dialog")
    expect(dialog.get_by_text("Cancel this workflow?")).to_be_visible()
    expect(dialog.get_by_role("link", name="Keep as it is")).to_be_focused()
    signed_in.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(signed_in.get_by_role("link", name="Cancel")).to_be_focused()
    signed_in.keyboard.press("Enter")
    expect(dialog.get_by_role("link", name="Keep as it is")).to_be_focused()
    signed_in.keyboard.press("Tab")
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("Cancel requested for wf.")).to_be_visible()
    expect(signed_in.get_by_text("Cancel requested, waiting for the engine")).to_be_visible()
    assert act(Command.objects.get).kind == "cancel"


def test_many_workflows_are_selected_and_deleted_with_the_number_typed(
    signed_in: Page, act: Act
) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/?status=SUCCESSFUL&size=25")
    signed_in.get_by_label("Select all rows of this page").check()
    expect(signed_in.get_by_text("25 selected")).to_be_visible()
    signed_in.get_by_label("Select all 56 matching").check()
    expect(signed_in.get_by_text("All 56 matching", exact=True)).to_be_visible()
    signed_in.get_by_role("button", name="Delete…").click()
    dialog = signed_in.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Delete 56 workflows")
    expect(confirm).to_be_disabled()
    dialog.get_by_label("Type 56 to confirm").fill("55")
    expect(confirm).to_be_disabled()
    dialog.get_by_label("Type 56 to confirm").fill("56")
    confirm.click()
    expect(signed_in.get_by_role("heading", name="Delete 56 workflows")).to_be_visible()
    assert act(BulkOperation.objects.get).total == 56


def test_a_range_of_rows_is_ticked_with_shift(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.goto("/workflows/")
    boxes = signed_in.locator("[data-pick]")
    boxes.nth(2).click()
    boxes.nth(6).click(modifiers=["Shift"])
    expect(signed_in.get_by_text("5 selected")).to_be_visible()
    signed_in.get_by_label("Clear the selection").click()
    expect(signed_in.locator("[data-bulkbar]")).to_be_hidden()


def test_the_form_and_its_json_stay_in_step(signed_in: Page, act: Act) -> None:
    act(factories.definition)
    signed_in.goto("/launch/?definition=digits_training")
    signed_in.get_by_label("Folds").fill("7")
    signed_in.get_by_role("button", name="JSON").click()
    editor = signed_in.get_by_label("Parameters as JSON")
    text = editor.input_value()
    assert '"folds": 7' in text
    assert '"label": null' in text
    editor.fill(text.replace('"folds": 7', '"folds": 9').replace('"rbf"', '"poly"'))
    signed_in.get_by_role("button", name="Form").click()
    expect(signed_in.get_by_label("Folds")).to_have_value("9")
    expect(signed_in.get_by_label("Kernel")).to_have_value('"poly"')
    signed_in.get_by_role("button", name="JSON").click()
    editor.fill("{")
    signed_in.get_by_role("button", name="Form").click()
    expect(signed_in.get_by_text("not valid JSON yet")).to_be_visible()
    editor.fill(text)
    signed_in.get_by_role("button", name="Launch").click()
    expect(signed_in.get_by_text("Launch requested", exact=True)).to_be_visible()
    assert act(Command.objects.get).payload["params"]["folds"] == 7


def test_mistakes_in_the_form_are_announced_and_linked(
    signed_in: Page, act: Act, watch: Watch
) -> None:
    watch.allow_status(400)
    act(factories.definition)
    signed_in.goto("/launch/?definition=digits_training")
    signed_in.get_by_label("Folds").fill("99")
    signed_in.get_by_label("Workflow id").fill("a/b")
    signed_in.get_by_role("button", name="Launch").click()
    summary = signed_in.locator(".error-summary")
    expect(summary).to_be_focused()
    summary.get_by_role("link", name="Folds").click()
    expect(signed_in.get_by_label("Folds")).to_be_focused()


def test_a_launched_workflow_turns_into_its_page(signed_in: Page, act: Act) -> None:
    act(factories.definition)
    signed_in.goto("/launch/?definition=digits_training")
    signed_in.get_by_label("Workflow id").fill("mine")
    signed_in.get_by_role("button", name="Launch").click()
    expect(signed_in.get_by_text("Waiting for a worker")).to_be_visible()
    owner = act(factories.workflow, "mine", "RUNNING")
    act(factories.tasks, owner, [("fit", 3, "RUNNING")])
    expect(signed_in.get_by_text("0 of 3 tasks done")).to_be_visible()


def test_keys_go_to_pages_and_rows_but_never_act(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.keyboard.press("g")
    signed_in.keyboard.press("w")
    signed_in.wait_for_url("**/workflows/")  # loaded: before that it knows no keys
    signed_in.keyboard.press("/")
    expect(signed_in.get_by_label("Search by id or definition")).to_be_focused()
    signed_in.keyboard.type("lisbon")
    expect(signed_in.locator("tbody tr")).to_have_count(1)
    expect(signed_in).to_have_url(re.compile(r"\?q=lisbon$"))
    signed_in.get_by_role("heading", name="Workflows", exact=True).click()
    signed_in.keyboard.press("j")
    signed_in.keyboard.press("x")
    expect(signed_in.get_by_text("1 selected")).to_be_visible()
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("heading", name="trip-lisbon-0412")).to_be_visible()


def test_theme_and_time_format_are_kept(signed_in: Page, act: Act) -> None:
    act(factories.workflow, "wf")
    signed_in.goto("/workflows/")
    signed_in.get_by_label("Account and display settings").click()
    signed_in.get_by_role("button", name="Dark").click()
    signed_in.get_by_role("button", name="UTC").click()
    time = signed_in.locator("tbody time")
    expect(time).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
    signed_in.reload()
    assert signed_in.locator("html").get_attribute("data-theme") == "dark"
    expect(time).to_have_text(re.compile("UTC$"))


def test_everything_needed_works_without_scripts(
    browser: Browser, server: str, operator_password: str, act: Act
) -> None:
    act(factories.showcase)
    context = browser.new_context(base_url=server, java_script_enabled=False)
    page = context.new_page()
    page.goto("/workflows/?status=FAILED")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill(operator_password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("tbody tr")).to_have_count(6)
    page.get_by_label("Search by id or definition").fill("lisbon")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="trip-lisbon-0412").click()
    page.get_by_role("link", name="Resume").click()
    page.get_by_role("button", name="Resume workflow").click()
    expect(page.get_by_text("Resume requested for trip-lisbon-0412.")).to_be_visible()
    page.goto("/launch/?definition=digits_training")
    page.get_by_label("Folds").fill("3")
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text("Launch requested", exact=True)).to_be_visible()
    page.goto("/workflows/?status=FAILED")
    page.get_by_label("Select census-005").check()
    page.get_by_role("button", name="Resume…").click()
    expect(page.get_by_text("Resume 1 workflow?")).to_be_visible()
    context.close()


def test_times_are_shown_in_the_zone_that_was_chosen(signed_in: Page, act: Act) -> None:
    act(factories.showcase)
    signed_in.goto("/settings/")
    signed_in.get_by_label("Your time zone").select_option("Asia/Kathmandu")
    signed_in.get_by_label("In your zone").check()
    with signed_in.expect_navigation():
        signed_in.get_by_role("button", name="Save").click()
    signed_in.goto("/workflows/trip-lisbon-0412/")
    shown = signed_in.locator(".head-meta time")
    row = act(Workflow.objects.get, workflow_id="trip-lisbon-0412")
    there = row.created_at.astimezone(ZoneInfo("Asia/Kathmandu"))
    expect(shown).to_have_text(f"{there:%Y-%m-%d %H:%M:%S} Asia/Kathmandu")
    expect(shown).to_have_attribute("title", re.compile(f"{row.created_at:%H:%M:%S} UTC"))
