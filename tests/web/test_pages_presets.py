"""Presets of the launch form, and the launch as code."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.web import factories
from tests.web.pages import HOSTILE, check_markup, signed_in, text_of
from workflows_app.models import Command, LaunchPreset

pytestmark = pytest.mark.django_db

LAUNCH = "/launch/"
PARAMS = {"folds": 7, "seeds": [4], "storage": {"folder": 'it\'s "here"', "compress": True}}


def form(**fields: str) -> dict[str, str]:
    return {"definition": "digits_training", "mode": "json", "json": json.dumps(PARAMS), **fields}


def examples(text: str) -> list[str]:
    return [
        unescape(found)
        for found in re.findall(r'<pre class="code" id="code-\d"[^>]*>(.*?)</pre>', text, re.S)
    ]


def test_a_preset_is_kept_and_fills_the_form_exactly(operator: User) -> None:
    factories.definition()
    client = signed_in(operator)
    kept = client.post(LAUNCH, form(act="preset", preset_name="seven"))
    assert kept.status_code == 302
    assert LaunchPreset.objects.get().params == PARAMS
    assert not Command.objects.exists()
    text = text_of(client.get(kept["Location"] + "&mode=json"))
    shown = re.search(r"<textarea[^>]*data-json-editor[^>]*>\n(.*?)</textarea>", text, re.S)
    assert shown is not None
    assert json.loads(unescape(shown[1])) == PARAMS
    client.post(LAUNCH, form(act="preset", preset_name="seven", json='{"folds": 8}'))
    assert LaunchPreset.objects.get().params == {"folds": 8}


def test_presets_are_shared_or_private_and_forgotten_by_their_owner(
    operator: User, administrator: User
) -> None:
    factories.definition()
    client, other = signed_in(operator), signed_in(administrator)
    client.post(LAUNCH, form(act="preset", preset_name="private"))
    client.post(LAUNCH, form(act="preset", preset_name=HOSTILE[:80], preset_shared="1"))
    private, shared = LaunchPreset.objects.order_by("shared")
    text = text_of(other.get(f"{LAUNCH}?definition=digits_training"))
    assert check_markup(text).faults == []
    assert "private" not in text
    assert other.get(f"{LAUNCH}?definition=digits_training&preset={private.pk}").status_code == 404
    assert other.post("/launch/presets/", {"forget": shared.pk}).status_code == 403
    assert client.post("/launch/presets/", {"forget": shared.pk}).status_code == 302
    assert client.post("/launch/presets/", {"forget": shared.pk}).status_code == 404


@pytest.mark.parametrize(
    "fields", [{"preset_name": ""}, {"preset_name": "x" * 101}, {"preset_name": "a", "json": "{"}]
)
def test_a_preset_that_cannot_be_kept_says_why_and_keeps_the_text(
    fields: dict[str, str], operator: User
) -> None:
    factories.definition()
    answer = signed_in(operator).post(LAUNCH, form(act="preset") | fields)
    assert answer.status_code == 400
    assert not LaunchPreset.objects.exists()


def test_the_form_as_code_says_what_the_form_holds(operator: User) -> None:
    factories.definition()
    text = text_of(signed_in(operator).post(LAUNCH, form(act="code", workflow_id="mine")))
    python, curl, line = examples(text)
    told: dict[str, Any] = {}
    exec(python.split("\n", 3)[3].split("workflow_id =")[0], told)
    assert told["params"] == PARAMS
    assert "workflow_id = launch('digits_training', params, workflow_id='mine')" in python
    words = shlex.split(curl.replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    assert body == {"definition": "digits_training", "params": PARAMS, "workflow_id": "mine"}
    words = shlex.split(line)
    assert words[:3] == ["rayflow", "run", "digits_training"]
    assert json.loads(words[words.index("--params") + 1]) == PARAMS
    assert not Command.objects.exists()


def test_a_failure_is_resolved_and_reopened_from_its_page(operator: User) -> None:
    row = factories.workflow("sad", "FAILED", error=factories.error())
    client = signed_in(operator)
    assert "Resolve" in text_of(client.get("/workflows/sad/"))
    client.post("/workflows/sad/resolution/", {"resolved": "yes"})
    row.refresh_from_db()
    assert row.resolved
    assert "Reopen" in text_of(client.get("/workflows/sad/"))
    client.post("/workflows/sad/resolution/", {"resolved": "no"})
    row.refresh_from_db()
    assert not row.resolved
    factories.workflow("fine", "SUCCESSFUL")
    assert client.post("/workflows/fine/resolution/", {"resolved": "yes"}).status_code == 302
    assert "not" in text_of(client.get("/workflows/fine/"))
