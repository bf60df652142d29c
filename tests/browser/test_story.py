"""The main story, by hand as far as a browser goes: a real instance, a real Ray, a real Chromium.

An operator launches a training, watches it live, kills its processes, reads its result; then cancels,
resumes and deletes workflows from the page, through the API and from the admin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import Instance, rayflow, wait_until
from tests.browser.watching import Watch
from tests.killing import kill_all

PASSWORD = "a-password-for-the-story"
FLOWS = Path(__file__).parents[1] / "acceptance" / "flows.py"
PATIENCE = 60_000  # milliseconds; Ray starts its first workers on a busy machine


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory, browser_files: None) -> Iterator[Instance]:
    """A whole RayFlow with the example definitions and those of the acceptance tests."""
    whole = Instance(tmp_path_factory.mktemp("story") / "data")
    try:
        whole.start(
            RAYFLOW_OPERATOR_PASSWORD=PASSWORD,
            RAYFLOW_FLOWS=f"examples.digits_training,{FLOWS}",
        )
        yield whole
    finally:
        whole.destroy()


@pytest.fixture(scope="module")
def server(instance: Instance) -> str:
    """The address that the pages are opened at."""
    return instance.url


@pytest.fixture
def operator(page: Page) -> Page:
    """The tab of an operator who has logged in as people do."""
    page.context.set_default_timeout(PATIENCE)
    page.goto("/login/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)
    return page


@pytest.fixture
def api(instance: Instance) -> Iterator[httpx.Client]:
    """A program's client with a token that may write."""
    made = rayflow(
        "token", "create", "story", "--user", "operator", "--scope", "write",
        "--data-dir", str(instance.folder),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    with httpx.Client(base_url=f"{instance.url}/api/v1/", headers=headers) as client:
        yield client


def launch_training(page: Page, workflow_id: str, folds: int) -> None:
    """Fill the generated form: thirteen sets of hyper-parameters, one seed."""
    page.goto("/launch/")
    page.get_by_role("link", name="digits_training").first.click()
    page.get_by_label("SVC: C").fill("0.5\n1.0\n5.0\n20.0")
    page.get_by_label("SVC: gamma").fill("0.0003\n0.001\n0.003")
    page.get_by_label("Forest: trees").fill("30")
    page.get_by_label("Forest: depth").fill("8")
    page.get_by_label("Folds").fill(str(folds))
    page.get_by_label("Seeds").fill("0")
    page.get_by_label("Workflow id").fill(workflow_id)
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", name=workflow_id)).to_be_visible()


def expect_status(page: Page, status: str) -> None:
    badge = page.locator("#status")
    expect(badge).to_have_attribute("data-status", status, timeout=PATIENCE)


def wait_for_status(api: httpx.Client, workflow_id: str, status: str) -> None:
    def has_it() -> bool:
        response = api.get(f"workflows/{workflow_id}/")
        shown = response.json() if response.status_code == 200 else {}
        # The engine's word may be there before the command that led to it has been put away.
        return shown.get("status") == status and shown["pending_command"] is None

    wait_until(has_it, what=f"{workflow_id} to be {status}")


def start(api: httpx.Client, definition: str, workflow_id: str, **params: str) -> None:
    body = {"definition": definition, "params": params, "workflow_id": workflow_id}
    assert api.post("workflows/", json=body).status_code == 202


def confirm(page: Page, verb: str) -> None:
    """Ask for an action on the page of a workflow and confirm it in the dialog."""
    page.get_by_role("link", name=verb, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile(verb)).click()


def test_a_training_is_launched_watched_live_and_its_result_read(operator: Page) -> None:
    launch_training(operator, "training", folds=3)
    operator.evaluate("window.neverReloaded = true")

    expect(operator.get_by_text(re.compile(r"[1-9]\d* of 45 tasks done"))).to_be_visible(
        timeout=PATIENCE
    )
    expect_status(operator, "SUCCESSFUL")
    expect(operator.get_by_text("45 of 45 tasks done")).to_be_visible()
    assert operator.evaluate("window.neverReloaded"), "the page was loaded anew"
    output = operator.get_by_role("region", name="Value as JSON").first
    expect(output).to_contain_text('"accuracy": 0.9')
    expect(operator.get_by_role("columnheader", name="accuracy")).to_be_visible()


def test_a_training_whose_processes_are_killed_ends_all_the_same(
    operator: Page, instance: Instance
) -> None:
    launch_training(operator, "assailed", folds=6)
    expect(operator.get_by_text(re.compile(r"([4-9]|\d\d) of 84 tasks done"))).to_be_visible(
        timeout=PATIENCE
    )

    wait_until(lambda: _kill_fits(instance), what="a fit that runs")
    expect_status(operator, "SUCCESSFUL")
    expect(operator.get_by_text("84 of 84 tasks done")).to_be_visible()


def _kill_fits(instance: Instance) -> bool:
    """Whether there was one: between two tasks no process has the name."""
    fits = [p for p in instance.processes() if _title(p).startswith("ray::fit")]
    kill_all(fits)
    return bool(fits)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_workflows_are_canceled_resumed_and_deleted_from_their_pages(
    operator: Page, api: httpx.Client, tmp_path: Path, watch: Watch
) -> None:
    # A delete may be done before the browser has left the page, which then asks for itself once more.
    watch.allow_status(404)
    start(api, "held", "page-held", flag=str(tmp_path / "never"))
    wait_for_status(api, "page-held", "RUNNING")
    operator.goto("/workflows/page-held/")
    confirm(operator, "Cancel")
    expect_status(operator, "CANCELED")
    confirm(operator, "Delete")
    expect(operator.get_by_role("heading", name="Workflows", exact=True)).to_be_visible()
    wait_until(lambda: api.get("workflows/page-held/").status_code == 404, what="the delete")

    needed = tmp_path / "needed"
    start(api, "fragile", "page-fragile", path=str(needed))
    wait_for_status(api, "page-fragile", "FAILED")
    operator.goto("/workflows/page-fragile/")
    expect(operator.get_by_text("FileNotFoundError").first).to_be_visible()
    needed.touch()
    confirm(operator, "Resume")
    expect_status(operator, "SUCCESSFUL")


def test_workflows_are_canceled_resumed_and_deleted_through_the_api(
    api: httpx.Client, tmp_path: Path
) -> None:
    start(api, "held", "api-held", flag=str(tmp_path / "never"))
    wait_for_status(api, "api-held", "RUNNING")
    assert api.post("workflows/api-held/actions/resume/").status_code == 409
    assert api.delete("workflows/api-held/").status_code == 409
    assert api.post("workflows/api-held/actions/cancel/").status_code == 202
    wait_for_status(api, "api-held", "CANCELED")
    assert api.delete("workflows/api-held/").status_code == 202
    wait_until(lambda: api.get("workflows/api-held/").status_code == 404, what="the delete")

    needed = tmp_path / "needed"
    start(api, "fragile", "api-fragile", path=str(needed))
    wait_for_status(api, "api-fragile", "FAILED")
    needed.touch()
    assert api.post("workflows/api-fragile/actions/resume/").status_code == 202
    wait_for_status(api, "api-fragile", "SUCCESSFUL")
    assert '"found"' in api.get("workflows/api-fragile/output/").text


def admin_action(page: Page, ids: str, action: str, count: int) -> None:
    """Select every row that a search finds and confirm a bulk action on them."""
    page.goto(f"/admin/workflows_app/workflow/?q={ids}")
    page.locator("#action-toggle").check()
    page.get_by_label("Action:").select_option(label=f"{action}…")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_text(f"{count} of {count} selected workflows")).to_be_visible()
    page.get_by_label(re.compile("Reason")).fill("a part of the story")
    number = page.get_by_label(re.compile("Type .* to confirm"))
    if number.count():
        number.fill(str(count))
    page.locator(".submit-row [type=submit]").click()


def test_workflows_are_canceled_resumed_and_deleted_from_the_admin(
    operator: Page, api: httpx.Client, tmp_path: Path
) -> None:
    needed = tmp_path / "needed"
    for number in range(3):
        start(api, "held", f"admin-held-{number}", flag=str(tmp_path / "never"))
        start(api, "fragile", f"admin-fragile-{number}", path=str(needed))
    for number in range(3):
        wait_for_status(api, f"admin-fragile-{number}", "FAILED")
    needed.touch()

    admin_action(operator, "admin-fragile", "Resume including failed", 3)
    for number in range(3):
        wait_for_status(api, f"admin-fragile-{number}", "SUCCESSFUL")
    for number in range(3):
        wait_for_status(api, f"admin-held-{number}", "RUNNING")
    admin_action(operator, "admin-held", "Cancel", 3)
    for number in range(3):
        wait_for_status(api, f"admin-held-{number}", "CANCELED")
    admin_action(operator, "admin-", "Delete with storage", 6)
    wait_until(
        lambda: not api.get("workflows/", params={"q": "admin-"}).json()["items"],
        what="six deletions",
    )


def test_a_question_is_answered_and_the_workflow_goes_on(operator: Page, api: httpx.Client) -> None:
    start(api, "asking", "page-asking")
    operator.goto("/")
    expect(operator.get_by_role("link", name="Publish the model?")).to_be_visible(timeout=PATIENCE)
    operator.get_by_role("link", name="Publish the model?").click()
    operator.get_by_label("Answer").select_option(label="beta")
    operator.get_by_role("button", name="Approve").click()
    operator.goto("/workflows/page-asking/")
    expect_status(operator, "SUCCESSFUL")
    expect(operator.get_by_text("published: beta").first).to_be_visible()


def test_a_workflow_is_suspended_resumed_and_its_log_read(
    operator: Page, api: httpx.Client, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    start(api, "talkative", "page-talk", flag=str(flag))
    wait_for_status(api, "page-talk", "RUNNING")
    operator.goto("/workflows/page-talk/logs/")
    expect(operator.locator("#log")).to_contain_text("begun", timeout=PATIENCE)
    confirm(operator, "Suspend")
    expect_status(operator, "RESUMABLE")
    flag.touch()
    confirm(operator, "Resume")
    expect_status(operator, "SUCCESSFUL")
    operator.goto("/workflows/page-talk/tasks/talk/logs/")
    expect(operator.locator("#log")).to_contain_text("ended", timeout=PATIENCE)


def test_a_fork_runs_what_its_plan_said_and_nothing_else(
    operator: Page, api: httpx.Client, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    start(api, "parts", "page-parts", ledger=str(ledger))
    wait_for_status(api, "page-parts", "SUCCESSFUL")
    operator.goto("/workflows/page-parts/tasks/second/")
    operator.get_by_role("link", name="Fork from here").click()
    operator.get_by_role("button", name="Plan a fork").click()
    reused = operator.get_by_role("region", name=re.compile("Reused"))
    expect(operator.get_by_role("button", name="Fork as planned")).to_be_visible(timeout=PATIENCE)
    expect(reused).to_contain_text("first")
    operator.get_by_role("button", name="Fork as planned").click()
    expect(operator.get_by_role("heading", name=re.compile("page-parts"))).to_be_visible()
    expect_status(operator, "SUCCESSFUL")
    assert [line.split()[0] for line in ledger.read_text().splitlines()] == [
        "first",
        "second",
        "second",
    ]


def test_a_schedule_is_made_run_at_once_paused_and_deleted(
    operator: Page, api: httpx.Client, tmp_path: Path
) -> None:
    operator.goto("/new-schedule/?definition=parts")
    operator.get_by_label("Name", exact=True).fill("story")
    operator.get_by_label("Cron", exact=False).first.fill("0 3 1 1 *")
    operator.get_by_label("Ledger").fill(str(tmp_path / "ledger"))
    operator.get_by_role("button", name="Save").click()
    expect(operator.get_by_role("heading", name="story")).to_be_visible()
    operator.get_by_role("button", name="Run now").click()
    row = operator.get_by_role("row").filter(has_text="run now")
    expect(row).to_contain_text("Successful", timeout=PATIENCE)


def test_many_workflows_are_canceled_from_the_list(
    operator: Page, api: httpx.Client, tmp_path: Path
) -> None:
    for number in range(3):
        start(api, "held", f"many-{number}", flag=str(tmp_path / "never"))
    for number in range(3):
        wait_for_status(api, f"many-{number}", "RUNNING")
    operator.goto("/workflows/?q=many-")
    operator.get_by_label("Select all rows of this page").check()
    operator.get_by_role("button", name="Cancel…").click()
    operator.get_by_role("dialog").get_by_role("button", name="Cancel 3 workflows").click()
    expect(operator.get_by_text(re.compile("3 (of 3|done)|Succeeded")).first).to_be_visible(
        timeout=PATIENCE
    )
    for number in range(3):
        wait_for_status(api, f"many-{number}", "CANCELED")


def test_the_cluster_page_shows_the_machine_and_the_worker(operator: Page) -> None:
    operator.goto("/cluster/")
    expect(operator.get_by_role("table", name="Nodes of the Ray cluster")).to_contain_text(
        "head", timeout=PATIENCE
    )
    expect(operator.get_by_role("table", name="Celery workers")).to_contain_text("celery@")
    expect(operator.get_by_text("CPU cores").first).to_be_visible()
    operator.goto("/storage/?days=0&status=SUCCESSFUL")
    expect(operator.get_by_text(re.compile(r"would be removed")).first).to_be_visible()
