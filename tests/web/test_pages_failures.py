"""The pages of failures: groups, a traceback that stands for all, triage, and resuming a whole group."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.fake_gateway import START, FakeGateway
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from tests.web.stories import begin
from tests.web.worker import deliver
from workflows_app.follower import Follower
from workflows_app.models import BulkOperation, FailureGroup, FailureTriage, Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

LIST = "/failures/"


def fail(engine: FakeGateway, workflow_id: str, message: str, kind: str = "ValueError") -> None:
    begin(engine, workflow_id)
    error = {"type": kind, "message": message, "traceback": 'File "a.py", line 3, in f'}
    engine.write(workflow_id, "status", status="FAILED", error=error)
    Follower(engine).follow([workflow_id])


@pytest.fixture
def group(engine: FakeGateway) -> str:
    """The address of a group of three; there is another, of one."""
    for n in range(3):
        fail(engine, f"alike-{n}", f"row {n} of 'file-{n}.csv' is bad")
    fail(engine, "other", HOSTILE, "MemoryError")
    return f"{LIST}{FailureGroup.objects.get(workflows=3).fingerprint}/"


def titles(client: Client, query: str = "") -> list[str]:
    return re.findall(r"data-row-link>([^<]+)<", text_of(client.get(LIST + query)))


def test_the_largest_group_comes_first(operator: User, group: str) -> None:
    client = signed_in(operator)
    with statements() as asked:
        text = text_of(client.get(LIST))
    check_markup(text)
    assert len(asked) <= 8
    assert re.findall(r"data-row-link>([^<]+)<", text) == ["ValueError", "MemoryError"]
    assert "row … of … is bad" in text
    assert 'data-page="failures" href="/failures/" aria-current="page"' in text


def test_without_failures_the_page_says_so(operator: User) -> None:
    text = text_of(signed_in(operator).get(LIST))
    check_markup(text)
    assert "Nothing needs a hand" in text


def test_a_group_shows_what_its_workflows_failed_of(operator: User, group: str) -> None:
    client = signed_in(operator)
    with statements() as asked:
        text = text_of(client.get(group))
    check_markup(text)
    assert len(asked) <= 8
    assert "row 2 of &#x27;file-2.csv&#x27; is bad" in text  # the newest one
    assert len(re.findall(r'href="/workflows/alike-\d/" data-row-link', text)) == 3


def test_a_viewer_without_payloads_sees_no_message(viewer: User, group: str) -> None:
    for address in (LIST, group):
        text = text_of(signed_in(viewer).get(address))
        check_markup(text)
        assert "file-" not in text
        assert "is bad" not in text
        assert "Resume all" not in text
        assert 'name="note"' not in text


def test_a_whole_group_is_resumed(operator: User, group: str, engine: FakeGateway) -> None:
    client = signed_in(operator)
    link = re.search(r'href="(/bulk/new/[^"]+)"', text_of(client.get(group)))
    assert link is not None
    question = client.get(link[1].replace("&amp;", "&"))
    text = text_of(question)
    assert "Resume 3 workflows" in text
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text))
    client.post("/bulk/new/", form | {"reason": "fixed"})
    deliver()
    assert sorted(engine.calls) == [("resume", f"alike-{n}") for n in range(3)]
    bulk = BulkOperation.objects.get()
    assert (bulk.state, bulk.done, bulk.reason) == ("SUCCEEDED", 3, "fixed")
    Follower(engine).follow([f"alike-{n}" for n in range(3)])
    assert titles(client) == ["MemoryError"]
    gone = client.get(group)
    assert gone.status_code == 404
    assert "all its workflows are resolved" in text_of(gone)


def test_people_say_what_is_to_be_done(operator: User, group: str, engine: FakeGateway) -> None:
    client = signed_in(operator)
    change = {"state": "resolved", "assignee": "omar", "note": HOSTILE, "revision": "0"}
    answer = client.post(group, change, follow=True)
    check_markup(text_of(answer))
    assert "The group was changed" in text_of(answer)
    said = FailureTriage.objects.get()
    assert (said.state, said.assignee, said.note) == ("resolved", "omar", HOSTILE)
    newest = datetime.fromtimestamp(START, UTC) + timedelta(hours=1)  # the engine's clock
    FailureTriage.objects.update(changed_at=newest)
    assert titles(client) == ["MemoryError"]
    assert titles(client, "?state=resolved") == ["ValueError"]
    late = client.post(group, {"state": "ignored", "revision": "1"}, follow=True)
    assert "Somebody else has changed" in text_of(late)
    Workflow.objects.filter(workflow_id="alike-1").update(created_at=newest + timedelta(hours=1))
    assert titles(client) == ["ValueError", "MemoryError"]  # it opens again


@pytest.mark.parametrize(
    ("change", "words"),
    [({"state": "gone"}, "is one of"), ({"assignee": "x" * 151}, "may have 150")],
)
def test_what_cannot_be_said_is_refused(
    operator: User, group: str, change: dict[str, str], words: str
) -> None:
    answer = signed_in(operator).post(group, change)
    assert answer.status_code == 400
    assert words in text_of(answer)
    assert not FailureTriage.objects.exists()


def test_an_unknown_group_is_not_found(operator: User) -> None:
    for name in ("0" * 16, "nonsense", "a b"):
        assert signed_in(operator).get(f"{LIST}{name}/").status_code == 404
