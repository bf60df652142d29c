"""The launch form: what it shows, what it starts, and how it reports mistakes."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import check_markup, signed_in, text_of
from workflows_app.follower import Follower
from workflows_app.models import Command
from workflows_app.services import run_commands

pytestmark = pytest.mark.django_db

LAUNCH = "/launch/"
GOOD = {
    "definition": "digits_training",
    "p/folds": "7",
    "p/test_share": "0.25",
    "p/kernel": '"linear"',
    "p/seeds": "4\r\n5",
    "p/grid": '[{"C": 2}]',
    "p/keep_model": "true",
    "p/label": "",
    "p/storage/folder": "out",
}
PARAMS = {
    "folds": 7,
    "test_share": 0.25,
    "kernel": "linear",
    "seeds": [4, 5],
    "grid": [{"C": 2}],
    "keep_model": True,
    "label": None,
    "storage": {"folder": "out", "compress": False},
}


def control(text: str, name: str) -> dict[str, str | None]:
    """The attributes of the control with this name."""
    (found,) = [attrs for _, attrs in check_markup(text).tags if attrs.get("name") == name]
    return found


def test_the_form_has_a_labelled_control_for_each_parameter(operator: User) -> None:
    factories.definition()
    text = text_of(signed_in(operator).get(f"{LAUNCH}?definition=digits_training"))
    page = check_markup(text)
    controls = [attrs for _, attrs in page.tags if str(attrs.get("name")).startswith("p/")]
    assert len(controls) == 9
    assert all(attrs["id"] in page.attributes("for") for attrs in controls)
    folds = control(text, "p/folds")
    assert (folds["type"], folds["min"], folds["max"]) == ("number", "2", "10")
    assert folds["value"] == "5"
    assert "Parts the data is split into for cross-validation. From 2 to 10." in text


def test_the_form_starts_a_workflow_with_typed_parameters(operator: User) -> None:
    factories.definition()
    response = signed_in(operator).post(LAUNCH, {**GOOD, "workflow_id": "mine", "key": "k1"})
    assert response.status_code == 302
    assert response.headers["Location"] == "/workflows/mine/"
    command = Command.objects.get()
    assert command.payload["params"] == PARAMS
    assert command.created_by == operator


def test_the_json_tab_starts_the_same_workflow(operator: User) -> None:
    factories.definition()
    data = {"definition": "digits_training", "mode": "json", "json": json.dumps(PARAMS)}
    assert signed_in(operator).post(LAUNCH, data).status_code == 302
    assert Command.objects.get().payload["params"] == PARAMS


def test_a_form_sent_twice_starts_one_workflow(operator: User) -> None:
    factories.definition()
    client = signed_in(operator)
    first = client.post(LAUNCH, {**GOOD, "key": "same"})
    second = client.post(LAUNCH, {**GOOD, "key": "same"})
    assert first.headers["Location"] == second.headers["Location"]
    assert Command.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "words", "name"),
    [
        ({"p/folds": "99"}, "greater than the maximum of 10", "p/folds"),
        ({"p/folds": "many"}, "not a whole number", "p/folds"),
        ({"p/grid": "[{]"}, "Not valid JSON", "p/grid"),
        ({"p/grid": '[{"C": "x"}]'}, "not of type", "p/grid"),
        ({"p/kernel": '"other"'}, "is not one of", "p/kernel"),
        ({"p/seeds": ""}, "should be non-empty", "p/seeds"),
    ],
)
def test_a_mistake_is_shown_at_its_control_and_above_the_form(
    change: dict[str, str], words: str, name: str, operator: User
) -> None:
    factories.definition()
    response = signed_in(operator).post(LAUNCH, {**GOOD, **change})
    text = text_of(response)
    assert response.status_code == 400
    found = control(text, name)
    assert found["aria-invalid"] == "true"
    assert f"{found['id']}-error" in str(found["aria-describedby"])
    assert f'href="#{found["id"]}"' in text
    assert text.count(words) == 2
    assert control(text, "p/storage/folder")["value"] == "out"
    assert not Command.objects.exists()


def test_all_mistakes_are_shown_at_once(operator: User) -> None:
    factories.definition()
    data = {**GOOD, "p/folds": "99", "p/test_share": "3", "workflow_id": "a/b"}
    text = text_of(signed_in(operator).post(LAUNCH, data))
    invalid = [attrs["name"] for _, attrs in check_markup(text).tags if attrs.get("aria-invalid")]
    assert invalid == ["p/folds", "p/test_share", "workflow_id"]


@pytest.mark.parametrize("workflow_id", ["a/b", "..", "ü", "x" * 300, "a b", "<b>"])
def test_an_odd_workflow_id_is_refused_at_its_field(workflow_id: str, operator: User) -> None:
    factories.definition()
    response = signed_in(operator).post(LAUNCH, {**GOOD, "workflow_id": workflow_id})
    assert response.status_code == 400
    found = control(text_of(response), "workflow_id")
    assert found["aria-invalid"] == "true"
    assert found["value"] == workflow_id


def test_a_taken_id_is_a_conflict_at_its_field(operator: User) -> None:
    factories.definition()
    factories.workflow("mine")
    response = signed_in(operator).post(LAUNCH, {**GOOD, "workflow_id": "mine"})
    assert response.status_code == 409
    text = text_of(response)
    assert "This id is taken." in text
    assert control(text, "workflow_id")["aria-invalid"] == "true"


@pytest.mark.parametrize(
    ("body", "words"),
    [("{", "not valid JSON"), ("[1]", "must be one JSON object"), ("[" * 100_000, "not valid JSON"),
     ('{"folds": 99, "storage": {}}', "greater than the maximum"),
     ('{"folds": 5}', "required property"),
     ('{"label": "a\\u0000b", "storage": {}}', "character NUL")],
)  # fmt: skip
def test_mistakes_in_the_json_tab_keep_the_text(body: str, words: str, operator: User) -> None:
    factories.definition()
    data = {"definition": "digits_training", "mode": "json", "json": body}
    response = signed_in(operator).post(LAUNCH, data)
    assert response.status_code == 400
    text = text_of(response)
    assert words in text
    assert body.replace('"', "&quot;")[:50] in text
    assert not Command.objects.exists()


@pytest.mark.parametrize("params", [PARAMS, {**PARAMS, "grid": [], "label": "a\nb", "folds": 2}])
def test_running_again_prefills_the_parameters_of_the_earlier_workflow(
    params: dict[str, Any], operator: User
) -> None:
    factories.definition()
    factories.workflow("earlier", params=params)
    client = signed_in(operator)
    text = text_of(client.get(f"{LAUNCH}?definition=digits_training&like=earlier&mode=json"))
    editor = re.search(r"<textarea[^>]*data-json-editor[^>]*>(.*?)</textarea>", text, re.DOTALL)
    assert editor is not None
    assert json.loads(html.unescape(editor.group(1))) == params


def test_a_definition_that_is_gone_cannot_be_launched(operator: User) -> None:
    factories.definition(available=False)
    response = signed_in(operator).get(f"{LAUNCH}?definition=digits_training")
    assert response.status_code == 404
    assert "RAYFLOW_FLOWS" in text_of(response)


def test_the_story_from_form_to_running_workflow(
    operator: User, engine: FakeGateway, follower: Follower
) -> None:
    factories.definition()
    client = signed_in(operator)
    address = client.post(LAUNCH, {**GOOD, "workflow_id": "mine"}).headers["Location"]
    assert "Waiting for a worker" in text_of(client.get(address))
    run_commands([Command.objects.get().id])
    follower.step(0)
    text = text_of(client.get(address))
    assert "Running" in text
    assert "0 of 1 task done" in text
