"""Every page in both themes and sizes: accessible, nothing cut off, a picture of each kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Page

from rayflow.storage.logs import LogFile
from rayflow.storage.root import open_store
from tests.browser.conftest import ROOT, Act
from tests.browser.watching import Watch
from tests.web import factories

PICTURES = ROOT / "test-results" / "pages"
SIZES = {"wide": {"width": 1360, "height": 860}, "small": {"width": 360, "height": 780}}
RUN = "/workflows/trip-lisbon-0412/"
PAGES = {
    "overview": "/",
    "workflows": "/workflows/",
    "no-match": "/workflows/?q=nothing-like-it",
    "failed": RUN,
    "successful": "/workflows/digits-baseline/",
    "running": "/workflows/digits-20261103-101502-4f1c/",
    "tasks": f"{RUN}tasks/",
    "task": f"{RUN}tasks/book_flight/",
    "log": f"{RUN}tasks/book_flight/logs/",
    "graph": "/workflows/digits-baseline/graph/",
    "graph-open": "/workflows/digits-baseline/graph/?open=fit",
    "graph-around": "/workflows/digits-baseline/graph/?task=report&steps=2",
    "graph-all": "/workflows/digits-baseline/graph/?view=all",
    "timeline": "/workflows/digits-baseline/timeline/",
    "logs": f"{RUN}logs/",
    "events": f"{RUN}events/",
    "plan": f"{RUN}plan/?from=book_flight",
    "compare": "/compare/?a=census-000&b=census-005",
    "compare-choice": "/compare/?a=census-000",
    "confirm": f"{RUN}actions/delete/",
    "launch": "/launch/",
    "launch-form": "/launch/?definition=digits_training",
    "launch-json": "/launch/?definition=digits_training&mode=json",
    "definitions": "/definitions/",
    "definition": "/definitions/digits_training/",
    "bulk": "/bulk/",
    "actors": "/actors/",
    "failures": "/failures/",
    "failure": f"/failures/{'f' * 16}/",
    "approvals": "/approvals/",
    "answer": "/workflows/digits-20261103-101502-4f1c/tasks/ask_operator/answer/",
    "schedules": "/schedules/",
    "schedule": "/schedules/nightly-census/",
    "schedule-form": "/new-schedule/?definition=digits_training",
    "schedule-edit": "/schedules/nightly-census/edit/",
    "audit": "/audit/",
    "cluster": "/cluster/",
    "storage": "/storage/?days=0&status=SUCCESSFUL",
    "settings": "/settings/",
    "tokens": "/settings/tokens/",
    "members": "/settings/members/",
    "views": "/views/",
    "view-form": "/views/new/?q=status:FAILED",
    "columns": "/workflows/?columns=status.tags.created_by.started&sort=-duration",
    "search": "/search/?q=census",
    "help": "/help/",
    "not-found": "/nowhere/",
}


def printed() -> None:
    """What the task that failed has printed, in the storage that the server reads."""
    told = [
        ("out", None, "asking flights.example for Lisbon, 3 nights"),
        ("log", "INFO", "3 offers, the best for 212.40"),
        ("log", "WARNING", "no answer after 5 s, trying again"),
        ("err", None, "reserve: connection reset by peer"),
        ("log", "ERROR", "flights.example answered 503"),
    ]
    lines = [
        json.dumps({"t": 1.8e9 + n, "s": stream, "l": level, "m": text})
        for n, (stream, level, text) in enumerate(told * 8)
    ]
    log = LogFile(open_store(settings.RAYFLOW_STORAGE), "trip-lisbon-0412", "book_flight", 3)
    log.append("".join(f"{line}\n" for line in lines).encode())


# Each theme and each size once: the rules that depend on one do not depend on the other.
LOOKED_AT = {("light", "wide"), ("dark", "small")}


def overflow(page: Page, where: str) -> list[str]:
    """Whether the page has to be scrolled sideways."""
    width = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [f"{where}: {width} px wider than the window"] if width > 0 else []


# Whether a table is as wide as its box depends on the lengths of times and names, so axe sees it by chance.
UNREACHABLE = """[...document.querySelectorAll('.scroll-x')]
  .filter((box) => box.tabIndex < 0 && !box.querySelector('a[href], button, input, [tabindex="0"]'))
  .map((box) => box.querySelector('caption')?.textContent ?? box.className)"""


def unreachable(page: Page, where: str) -> list[str]:
    """Boxes that may have to be scrolled sideways and that the keyboard does not reach."""
    return [f"{where}: no keyboard reaches {box}" for box in page.evaluate(UNREACHABLE)]


# Spinners never end; everything else that moves does.
SETTLED = """Promise.allSettled(document.getAnimations()
  .filter((each) => each.effect.getComputedTiming().iterations !== Infinity)
  .map((each) => each.finished))"""


def violations(page: Page, where: str) -> list[str]:
    """What axe finds wrong, whatever its weight, once nothing fades in or out any more."""
    page.evaluate(SETTLED)
    return [
        f"{where}: {each['id']}: {each['help']} {[node['target'] for node in each['nodes'][:3]]}"
        for each in Axe().run(page).response["violations"]
    ]


def picture(page: Page, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=Path(PICTURES / f"{name}.png"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("theme", "size"),
    [("light", "wide"), ("dark", "small"), ("dark", "wide"), ("light", "small")],
)
def test_every_page_is_accessible_and_fits(
    theme: str, size: str, signed_in: Page, act: Act, watch: Watch, server: str
) -> None:
    act(factories.showcase)
    printed()
    watch.allow_status(404)
    signed_in.context.add_cookies([{"name": "theme", "value": theme, "url": server}])
    signed_in.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    faults = []
    for name, address in PAGES.items():
        act(factories.freshen)
        signed_in.goto(address)
        where = f"{name} {theme} {size}"
        faults += overflow(signed_in, where) + unreachable(signed_in, where)
        if (theme, size) in LOOKED_AT:
            faults += violations(signed_in, where)
        picture(signed_in, f"{name}-{theme}-{size}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_login_page_is_accessible(theme: str, page: Page, server: str) -> None:
    page.context.add_cookies([{"name": "theme", "value": theme, "url": server}])
    page.goto("/login/")
    picture(page, f"login-{theme}")
    assert violations(page, "login") + overflow(page, "login") == []


def test_dialogs_and_menus_are_accessible_too(signed_in: Page, act: Act, watch: Watch) -> None:
    act(factories.showcase)
    watch.allow_status(400)  # the query that is being written
    signed_in.goto("/workflows/")
    signed_in.get_by_label("Select trip-lisbon-0412").check()
    signed_in.get_by_role("button", name="Delete…").click()
    signed_in.get_by_role("dialog").get_by_role("button", name="Delete 1 workflow").wait_for()
    faults = violations(signed_in, "bulk dialog")
    signed_in.keyboard.press("Escape")
    signed_in.get_by_role("button", name="Clear the selection").click()
    signed_in.keyboard.press("Control+k")
    signed_in.get_by_role("combobox", name="Go to").fill("census")
    signed_in.get_by_role("option", name="census-queued").wait_for()
    faults += violations(signed_in, "palette")
    picture(signed_in, "palette")
    signed_in.keyboard.press("Escape")
    signed_in.locator("#q").fill("status:")
    signed_in.locator("#q-options").get_by_role("option", name="RESUMABLE").wait_for()
    faults += violations(signed_in, "suggestions")
    picture(signed_in, "suggestions")
    signed_in.keyboard.press("Escape")
    signed_in.goto("/workflows/")
    for name in ("Columns", "Export"):
        signed_in.locator("summary", has_text=name).click()
        faults += violations(signed_in, name)
        picture(signed_in, f"menu-{name.lower()}")
        signed_in.keyboard.press("Escape")
    signed_in.get_by_label("Account and display settings").click()
    faults += violations(signed_in, "menu")
    assert not faults, "\n".join(faults)
