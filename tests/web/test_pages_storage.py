"""The storage page: ages, and a clean-up that removes exactly what its preview said."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import check_markup, signed_in, text_of
from workflows_app import rollups
from workflows_app.models import BulkItem, BulkOperation, Workflow
from workflows_app.pages.storage import by_definition_and_age

pytestmark = pytest.mark.django_db


def aged(workflow_id: str, days: float, status: str = "SUCCESSFUL", **fields: str) -> Workflow:
    then = timezone.now() - timedelta(days=days)
    ended = then if status in ("SUCCESSFUL", "FAILED", "CANCELED") else None
    return factories.workflow(workflow_id, status, created_at=then, finished_at=ended, **fields)


def test_workflows_are_counted_by_definition_and_age() -> None:
    for days in (0.1, 3, 20, 100, 500):
        aged(f"d{days}", days, definition="census")
    aged("plain", 40, definition="")
    rollups.rebuild()
    rows = {row["definition"]: row["counts"] for row in by_definition_and_age()}
    assert rows == {"census": [1, 1, 1, 1, 1], "": [0, 0, 0, 1, 0]}


def test_a_clean_up_removes_what_its_preview_said(engine: FakeGateway, administrator: User) -> None:
    for n in range(4):
        aged(f"old-{n}", 40 + n)
        engine.write(f"old-{n}", "accepted")
    aged("young", 3)
    aged("broken", 50, "FAILED")
    aged("alive", 60, "RUNNING")
    client = signed_in(administrator)
    text = text_of(client.get("/storage/", {"days": "30", "status": "SUCCESSFUL"}))
    assert '<strong class="num">4 workflows</strong>' in text
    assert "400\xa0bytes" in text
    delete = next(
        a["href"]
        for tag, a in check_markup(text).tags
        if tag == "a" and "btn-danger" in str(a.get("class"))
    )
    dialog = client.get(str(delete))
    fields = {
        str(a["name"]): str(a["value"])
        for tag, a in check_markup(text_of(dialog)).tags
        if tag == "input" and a.get("type") == "hidden" and a.get("value") and a["name"] != "next"
    }
    done = client.post("/bulk/new/", {**fields, "number": "4", "reason": "old"})
    assert done.status_code == 302
    assert set(BulkItem.objects.values_list("workflow_id", flat=True)) == {
        f"old-{n}" for n in range(4)
    }
    assert BulkOperation.objects.get().kind == "delete"


def test_a_preview_says_when_the_storage_cannot_be_measured(
    engine: FakeGateway, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged("old", 40)
    monkeypatch.setattr(engine, "usage", lambda _: engine._fail_if(True, "down", "No answer."))
    text = text_of(
        signed_in(administrator).get("/storage/", {"days": "30", "status": "SUCCESSFUL"})
    )
    assert "could not be measured" in text


@pytest.mark.parametrize(
    "query", [{"days": "-1"}, {"days": "x", "status": "FAILED"}, {"days": "3"}, {"days": "9" * 30}]
)
def test_a_clean_up_that_makes_no_sense_is_refused(
    query: dict[str, str], administrator: User
) -> None:
    assert signed_in(administrator).get("/storage/", query).status_code == 400


def test_who_may_not_delete_sees_the_preview_without_the_button(
    engine: FakeGateway, operator: User
) -> None:
    aged("old", 40)
    text = text_of(signed_in(operator).get("/storage/", {"days": "30", "status": "SUCCESSFUL"}))
    assert "1 workflow</strong>" in text
    assert "Delete…" not in text
