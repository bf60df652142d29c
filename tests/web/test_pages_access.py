"""Who gets which page, and that every page keeps the rules of markup and security."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web import factories
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from workflows_app.models import Command

pytestmark = pytest.mark.django_db

RUN = "/workflows/trip-lisbon-0412/"
PAGES = [
    "/",
    "/workflows/",
    "/workflows/?q=census&status=FAILED&definition=code_census&sort=created&size=25",
    "/workflows/?cursor=forged",
    "/workflow-rows/?rows=1,2,3",
    "/workflows/digits-baseline/",
    "/workflows/digits-20261103-101502-4f1c/",
    "/workflows/census-queued/",
    RUN,
    f"{RUN}tasks/",
    f"{RUN}tasks/?status=FAILED&name=book_flight",
    f"{RUN}tasks/book_flight/",
    f"{RUN}graph/",
    f"{RUN}timeline/",
    f"{RUN}events/",
    f"{RUN}events/?kind=failed&sort=oldest",
    f"{RUN}actions/resume/",
    f"{RUN}actions/cancel/",
    "/launch/",
    "/launch/?definition=digits_training",
    "/launch/?definition=digits_training&mode=json&like=digits-baseline",
    "/definitions/",
    "/definitions/digits_training/",
    "/bulk/",
    "/bulk/new/?kind=resume&everything=1&status=FAILED",
    "/actors/",
    "/cluster/",
    "/help/",
    f"{RUN}graph/?open=book_flight",
    f"{RUN}graph/?task=book_flight",
    f"{RUN}graph/?view=all",
    f"{RUN}plan/",
    "/failures/",
    "/approvals/",
    "/schedules/",
    "/schedules/nightly-census/",
    "/storage/",
    "/settings/",
    "/settings/tokens/",
    "/views/",
    "/views/new/?q=status:FAILED",
    "/search/?q=census",
]
# What a viewer lacks the permission for, and is told so.
NOT_FOR_VIEWERS = [
    "/launch/",
    "/launch/?definition=digits_training",
    f"{RUN}actions/resume/",
    f"{RUN}actions/cancel/",
    f"{RUN}actions/delete/",
    "/bulk/new/?kind=resume&everything=1",
]


@pytest.mark.parametrize("address", PAGES)
def test_every_page_answers_an_operator_and_keeps_the_rules(address: str, operator: User) -> None:
    factories.showcase()
    response = signed_in(operator).get(address)
    assert response.status_code == 200
    (check_fragment if address.startswith("/workflow-rows/") else check_markup)(text_of(response))
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "HX-Request" in response.headers["Vary"]


def test_every_page_keeps_to_its_budget_of_statements(operator: User) -> None:
    factories.showcase()
    client = signed_in(operator)
    for address in PAGES:
        with statements() as found:
            client.get(address)
        # Session, account and its permissions take four of them.
        assert len(found) <= 12, (address, len(found))


def test_every_page_gives_its_changing_part_alone(operator: User) -> None:
    factories.showcase()
    client = signed_in(operator)
    for address in PAGES:
        response = client.get(address, headers={"HX-Request": "true"})
        assert response.status_code == 200, address
        assert "<html" not in text_of(response), address
        check_fragment(text_of(response))


def check_fragment(text: str) -> None:
    """A fragment may lean on the selection form of its page; for the rest it keeps the rules."""
    form = "" if 'id="selection"' in text else '<form id="selection"></form>'
    check_markup(form + text)


def test_a_stranger_is_sent_to_the_login_and_back(db: None) -> None:
    for address in PAGES:
        response = Client().get(address)
        assert response.status_code == 302, address
        assert response.headers["Location"].startswith("/login/?next=/"), address


def test_an_account_without_a_role_sees_nothing(nobody: User) -> None:
    factories.showcase()
    client = signed_in(nobody)
    for address in PAGES:
        response = client.get(address)
        assert response.status_code == 403, address
        assert "view_workflow" in text_of(response), address
        assert "census-0" not in text_of(response), address


def test_a_viewer_sees_every_page_but_those_that_act(viewer: User) -> None:
    factories.showcase()
    client = signed_in(viewer)
    for address in PAGES:
        refused = any(address.startswith(each) for each in NOT_FOR_VIEWERS)
        assert client.get(address).status_code == (403 if refused else 200), address


def test_a_viewer_is_offered_no_action_and_shown_no_values(viewer: User) -> None:
    factories.showcase()
    text = text_of(signed_in(viewer).get(RUN))
    for secret in ("flights.example", "Lisbon&quot;", "OPS-412", "actions/resume", "/launch/?def"):
        assert secret not in text
    task = text_of(signed_in(viewer).get(f"{RUN}tasks/book_flight/"))
    assert "flights.example" not in task
    events = text_of(signed_in(viewer).get(f"{RUN}events/"))
    assert "flights.example" not in events


@pytest.mark.parametrize("verb", ["cancel", "resume", "delete"])
def test_a_viewer_cannot_act_by_post_either(verb: str, viewer: User) -> None:
    factories.showcase()
    response = signed_in(viewer).post(f"{RUN}actions/{verb}/")
    assert response.status_code == 403
    assert not Command.objects.exists()


def test_an_action_without_the_csrf_token_is_refused_with_a_page(operator: User) -> None:
    factories.showcase()
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    response = client.post(f"{RUN}actions/resume/")
    assert response.status_code == 403
    assert "no longer valid" in text_of(response)
    assert not Command.objects.exists()


@pytest.mark.parametrize(
    "address",
    ["/nowhere/", "/workflows/unknown/", f"{RUN}tasks/unknown/", "/definitions/unknown/",
     "/bulk/6ba7b810-9dad-11d1-80b4-00c04fd430c8/", f"{RUN}actions/explode/",
     "/launch/?definition=unknown"],
)  # fmt: skip
def test_what_does_not_exist_is_a_page_that_says_so(address: str, operator: User) -> None:
    factories.showcase()
    response = signed_in(operator).get(address)
    assert response.status_code == 404
    check_markup(text_of(response))
    assert "Not found" in text_of(response)


@pytest.mark.parametrize(
    ("address", "status"),
    [("/workflows/a%00b/", 404), ("/workflows/?q=a%00b", 400), (f"{RUN}tasks/?name=%00", 400)],
)
def test_a_nul_in_the_address_is_refused_with_a_page(
    address: str, status: int, operator: User
) -> None:
    factories.showcase()
    response = signed_in(operator).get(address)
    assert response.status_code == status
    check_markup(text_of(response))


@pytest.mark.parametrize("workflow_id", ["a/b", "..", "ü", "a b?c=d#e", "x" * 1024, HOSTILE, ";2F"])
def test_any_workflow_id_has_working_pages(workflow_id: str, operator: User) -> None:
    owner = factories.workflow(workflow_id, "FAILED", error=factories.error("t/1"))
    factories.tasks(owner, [("load", 1, "SUCCESSFUL"), (f"fit {HOSTILE}", 2, "FAILED")])
    client = signed_in(operator)
    page = check_markup(text_of(client.get("/workflows/")))
    links = page.attributes("href")
    (address,) = {link for link in links if link.count("/") == 3 and "/workflows/" in link}
    for tab in ("", "tasks/", "graph/", "timeline/", "events/", "actions/resume/"):
        response = client.get(address + tab)
        assert response.status_code == 200, tab
        check_markup(text_of(response))


def test_hostile_text_is_shown_and_never_run(operator: User) -> None:
    factories.definition(HOSTILE, description=HOSTILE, module=HOSTILE, params_schema={
        "properties": {HOSTILE: {"type": "string", "title": HOSTILE, "default": HOSTILE,
                                 "description": HOSTILE}}})  # fmt: skip
    owner = factories.workflow(
        "victim", "FAILED", definition=HOSTILE, created_by=HOSTILE, tags={HOSTILE: HOSTILE},
        params={HOSTILE: HOSTILE}, user_metadata={HOSTILE: HOSTILE},
        error={"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE, "task_id": HOSTILE},
        output_preview={"type": HOSTILE, "size": 1, "shape": None, "text": HOSTILE, "json": None,
                        "table": {"columns": [HOSTILE], "rows": [[HOSTILE]], "total_rows": 1},
                        "truncated": True},
    )  # fmt: skip
    factories.tasks(owner, [(HOSTILE, 1, "FAILED")])
    factories.events(owner, [(HOSTILE[:40], HOSTILE, {HOSTILE: HOSTILE, "reason": HOSTILE})])
    client = signed_in(operator)
    pages = ["/", "/workflows/", "/definitions/", "/launch/", "/cluster/"]
    pages += [
        f"/workflows/victim/{tab}" for tab in ("", "tasks/", "graph/", "timeline/", "events/")
    ]
    task = check_markup(text_of(client.get("/workflows/victim/tasks/"))).attributes("href")
    pages += [link for link in task if "/tasks/" in link and "%" in link and "?" not in link]
    listed = check_markup(text_of(client.get("/definitions/"))).attributes("href")
    pages += [link for link in listed if "%3Cscript" in link]
    assert len(pages) >= 13
    for address in pages:
        text = text_of(client.get(address))
        assert "<script>alert" not in text, address
        assert "<img src=x" not in text, address
        check_markup(text)


ODD_NUMBERS = ["²", "٣", "-1", "1e3", "9" * 5_000, "9" * 20, "0x10", " 7", ""]


@pytest.mark.parametrize("number", ODD_NUMBERS)
def test_no_page_stumbles_over_an_odd_number(number: str, operator: User) -> None:
    factories.showcase()
    client = signed_in(operator)
    for address, name in (
        ("/workflows/", "size"), ("/workflow-rows/", "rows"), ("/suggestions/", "at"),
        ("/launch/?definition=digits_training", "preset"), (f"{RUN}graph/data/", "after"),
        (f"{RUN}graph/?task=book_flight", "steps"), (f"{RUN}tasks/book_flight/logs/", "offset"),
        ("/storage/", "days"), ("/bulk/new/?kind=resume", "w"),
    ):  # fmt: skip
        joined = f"{address}{'&' if '?' in address else '?'}{urlencode({name: number})}"
        assert client.get(joined).status_code < 500, joined
    for address, name in (
        ("/views/", "view"), ("/settings/tokens/", "revoke"), ("/launch/presets/", "forget"),
        (f"/failures/{'f' * 16}/", "revision"),
    ):  # fmt: skip
        assert client.post(address, {name: number}).status_code < 500, address
