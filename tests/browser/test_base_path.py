"""The console below a path of its host, as behind a proxy that serves other things too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Act, served
from tests.web import factories

BASE = "/tools/rayflow"


@pytest.fixture(scope="module")
def server(
    django_db_setup: None,
    redis_server: str,
    browser_files: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    with served(redis_server, tmp_path_factory.mktemp("based"), RAYFLOW_BASE_PATH=BASE) as address:
        yield address


def test_everything_works_below_a_path(page: Page, operator_password: str, act: Act) -> None:
    act(factories.showcase)
    page.goto(f"{BASE}/")
    expect(page).to_have_url(re.compile(f"{BASE}/login/"))
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill(operator_password)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{BASE}/$"))
    expect(page.locator("#live-badge")).to_have_text("Live")
    addresses = page.eval_on_selector_all(
        "a[href]", "links => links.map((a) => a.getAttribute('href'))"
    )
    own = [each for each in addresses if not each.startswith("#")]
    assert own
    assert [each for each in own if not each.startswith((f"{BASE}/", "?"))] == []
    page.get_by_role("link", name="Workflows", exact=True).click()
    page.get_by_role("searchbox").or_(page.get_by_role("combobox", name="Search by id")).first.fill(
        "trip"
    )
    expect(page.get_by_role("link", name="trip-lisbon-0412")).to_be_visible()
    page.get_by_role("link", name="trip-lisbon-0412").click()
    expect(page).to_have_url(re.compile(f"{BASE}/workflows/trip-lisbon-0412/"))
    page.get_by_role("link", name="Resume").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Resume this workflow?")
    page.keyboard.press("Escape")
    page.goto(f"{BASE}/workflows/trip-lisbon-0412/graph/?view=all")
    expect(page.locator("#whole-graph")).to_have_attribute("data-drawn", re.compile("[0-9]+"))
    page.goto(f"{BASE}/workflows/digits%2D20261103%2D101502%2D4f1c/")
    expect(page.get_by_role("heading", name="digits-20261103")).to_be_visible()
    page.goto(f"{BASE}/admin/")
    expect(page.get_by_role("heading", name="Site administration")).to_be_visible()
    page.goto(f"{BASE}/api/docs/")
    expect(page.get_by_role("heading", name="API").first).to_be_visible()


def test_a_proxy_may_take_the_path_away(page: Page, act: Act, signed_in: Page) -> None:
    """The server is asked without the base path, and still answers with addresses that hold it."""
    answer = signed_in.request.get("/workflows/")
    assert answer.status == 200
    assert f'href="{BASE}/workflows/"' in answer.text()
