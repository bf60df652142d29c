"""The page of plans: what a resume or a fork would do, and the fork that follows it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.fake_gateway import FakeGateway
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from tests.web.stories import ERROR, begin
from tests.web.worker import deliver
from workflows_app.follower import Follower
from workflows_app.models import Command

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

PLAN = "/workflows/w1/plan/"


@pytest.fixture
def client(operator: User, engine: FakeGateway) -> Client:
    """Signed in; there is a workflow that failed."""
    begin(engine, "w1", tasks=("load", "fit", HOSTILE))
    engine.write("w1", "status", status="FAILED", error=ERROR)
    Follower(engine).follow(["w1"])
    return signed_in(operator)


def ask(client: Client, **form: str) -> Any:
    return client.post(PLAN, form, follow=True)


def test_a_resume_is_planned(client: Client, engine: FakeGateway) -> None:
    with statements() as asked:
        text = text_of(client.get(PLAN))
    check_markup(text)
    assert len(asked) <= 8
    waiting = text_of(ask(client, verb="resume"))
    check_markup(waiting)
    assert "works out the plan" in waiting
    assert "data-watch" in waiting
    deliver()
    address = f"{PLAN}?operation={Command.objects.get().id}"
    planned = text_of(client.get(address))
    check_markup(planned)
    assert "data-watch" not in planned
    assert re.findall(r'<span class="num count">(\d+)</span></h2>', planned) == ["1", "1"]
    assert "kept</a>" in planned
    assert "Resume as planned" in planned
    assert engine.calls == [("plan resume", "w1")]


def test_a_fork_is_planned_and_made(client: Client, engine: FakeGateway) -> None:
    form = text_of(client.get("/workflows/w1/plan/?from=fit"))
    check_markup(form)
    assert ">\nfit\n</textarea>" in form
    ask(client, verb="fork", **{"from": f"fit\r\n\r\n{HOSTILE}"})
    deliver()
    planned = Command.objects.get()
    assert planned.payload == {"verb": "fork", "from_tasks": ["fit", HOSTILE]}
    text = text_of(client.get(f"{PLAN}?operation={planned.id}"))
    check_markup(text)
    assert 'value="fit&#10;' in text
    key = re.search(r'name="key" value="([^"]+)"', text)
    assert key is not None
    fork = {"verb": "fork", "from": "fit", "fork": "1", "key": key[1], "reason": "fixed"}
    for _ in range(2):  # a double click
        made = client.post(PLAN, fork)
    command = Command.objects.get(kind="fork")
    assert made.headers["Location"] == f"/workflows/{command.workflow_id}/"
    assert command.payload["from_tasks"] == ["fit"]
    deliver()
    assert ("fork", command.workflow_id) in engine.calls


def test_what_cannot_be_planned_is_told(client: Client, engine: FakeGateway) -> None:
    unknown = text_of(ask(client, verb="fork", **{"from": "ghost"}))
    check_markup(unknown)
    assert "has no task &#x27;ghost&#x27;" in unknown
    assert ">\nghost\n</textarea>" in unknown  # what was typed is not lost
    assert ask(client, verb="explode").status_code == 400
    begin(engine, "w2")
    Follower(engine).follow(["w2"])
    running = text_of(client.get("/workflows/w2/plan/"))
    assert "cannot be forked: it is RUNNING" in running
    assert "Plan a" not in running
    assert not Command.objects.exists()


def test_a_plan_of_another_workflow_is_not_shown(client: Client, engine: FakeGateway) -> None:
    ask(client, verb="resume")
    begin(engine, "w2")
    Follower(engine).follow(["w2"])
    for text in (str(Command.objects.get().id), "nonsense"):
        page = text_of(client.get(f"/workflows/w2/plan/?operation={text}"))
        assert "See what would happen" in page


def test_the_task_page_leads_to_a_fork_from_there(client: Client) -> None:
    assert "/plan/?verb=fork&amp;from=fit" in text_of(client.get("/workflows/w1/tasks/fit/"))


def test_a_viewer_may_look_and_not_fork(client: Client, viewer: User) -> None:
    ask(client, verb="fork")
    deliver()
    address = f"{PLAN}?operation={Command.objects.get().id}"
    assert "Fork as planned" in text_of(client.get(address))
    looking = signed_in(viewer)
    assert "Fork as planned" not in text_of(looking.get(address))
    assert looking.post(PLAN, {"verb": "fork", "fork": "1"}).status_code == 403
