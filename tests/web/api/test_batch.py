"""Launching many workflows with one request."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import statements
from tests.web.worker import deliver, lose_everything
from workflows_app import services
from workflows_app.gateway import EngineProblem
from workflows_app.models import AuditEntry, Command

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_queue")]

BATCH = "/api/v1/workflows/batch/"


@pytest.fixture(autouse=True)
def definitions(db: None, engine: FakeGateway) -> None:
    factories.definition("digits", params_schema={
        "type": "object", "properties": {"folds": {"type": "integer", "minimum": 2}},
        "additionalProperties": False,
    })  # fmt: skip


def post(api: Client, items: Any, **headers: str) -> Any:
    return api.post(BATCH, {"items": items}, content_type="application/json", headers=headers)


def some(number: int) -> list[dict[str, Any]]:
    return [
        {"definition": "digits", "params": {"folds": 2 + n}, "workflow_id": f"b-{n}"}
        for n in range(number)
    ]


def test_all_of_a_batch_are_launched_in_its_order(api: Client, engine: FakeGateway) -> None:
    answer = post(api, some(20))
    assert answer.status_code == 202
    body = answer.json()
    assert body["count"] == 20
    assert [item["workflow_id"] for item in body["items"]] == [f"b-{n}" for n in range(20)]
    for command in Command.objects.all():
        services.run_commands([command.pk])
    assert {name for verb, name in engine.calls if verb == "launch"} == {
        f"b-{n}" for n in range(20)
    }
    assert AuditEntry.objects.filter(verb="launch").count() == 20
    assert Command.objects.get(pk=body["items"][3]["operation"]).payload["params"] == {"folds": 5}


def test_ids_are_made_where_none_is_given(api: Client) -> None:
    found = post(api, [{"definition": "digits"}] * 5).json()["items"]
    ids = {item["workflow_id"] for item in found}
    assert len(ids) == 5
    assert all(each.startswith("digits-") for each in ids)


def test_the_number_of_statements_does_not_grow_with_the_batch(api: Client) -> None:
    with statements() as few:
        post(api, some(3))
    with statements() as many:
        post(api, [{"definition": "digits"}] * 300)
    assert len(many) <= len(few) + 8


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ({"definition": "digits", "params": {"folds": 1}}, "/items/2/params/folds"),
        ({"definition": "digits", "params": {"nope": 1}}, "/items/2/params"),
        ({"definition": "unknown"}, "/items/2/definition"),
        ({"definition": "digits", "workflow_id": "a b"}, "/items/2/workflow_id"),
    ],
)
def test_one_mistake_and_nothing_is_launched(
    bad: dict[str, Any], pointer: str, api: Client
) -> None:
    answer = post(api, [*some(2), bad, *some(4)[2:]])
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not Command.objects.exists()


@pytest.mark.parametrize("items", [[], [{}], "x", None, [7], [{"definition": "digits"}] * 1_001])
def test_what_is_no_batch_is_refused(items: Any, api: Client) -> None:
    answer = post(api, items)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert not Command.objects.exists()


def test_an_id_that_is_taken_or_given_twice_refuses_the_whole(api: Client) -> None:
    factories.workflow("b-1")
    assert post(api, some(3)).status_code == 409
    twice = [{"definition": "digits", "workflow_id": "same"}] * 2
    answer = post(api, twice)
    assert (answer.status_code, answer.json()["workflow"]) == (409, "same")
    assert not Command.objects.exists()


def test_a_batch_sent_twice_with_a_key_is_launched_once(api: Client) -> None:
    first = post(api, some(4), **{"Idempotency-Key": "k1"})
    again = post(api, some(4), **{"Idempotency-Key": "k1"})
    assert again.status_code == 202
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["items"] == first.json()["items"]
    assert Command.objects.count() == 4
    for other in (some(3), some(5), [*some(3), {"definition": "digits"}]):
        assert post(api, other, **{"Idempotency-Key": "k1"}).status_code == 422
    assert Command.objects.count() == 4
    assert post(api, some(4)[:1], **{"Idempotency-Key": "x" * 125}).status_code == 400


def test_a_workflow_called_batch_stays_within_reach(api: Client, operator: User) -> None:
    factories.workflow("batch")
    assert api.get(BATCH).json()["workflow_id"] == "batch"


@pytest.mark.django_db(transaction=True)
def test_a_batch_travels_in_few_messages_and_a_failure_is_its_own(
    api: Client, engine: FakeGateway
) -> None:
    launch = engine.launch

    def refuse_one(**request: Any) -> None:
        if request["workflow_id"] == "b-7":
            raise EngineProblem("full", title="Full", detail="There is no place.", status=409)
        if request["workflow_id"] == "b-8":
            raise ZeroDivisionError("a mistake of ours")
        launch(**request)

    engine.launch = refuse_one  # type: ignore[method-assign]
    post(api, some(60))
    assert deliver() == 3
    states = dict(Command.objects.values_list("workflow_id", "state"))
    assert {name for name, state in states.items() if state == "FAILED"} == {"b-7", "b-8"}
    assert list(states.values()).count("SUCCEEDED") == 58
    problem = Command.objects.get(workflow_id="b-7").problem
    assert problem is not None
    assert problem["detail"] == "There is no place."


def test_commands_that_arrive_twice_are_carried_out_once(api: Client, engine: FakeGateway) -> None:
    post(api, some(30))
    lose_everything()
    ids = [command.pk for command in Command.objects.all()]
    services.run_commands(ids[:20])
    services.run_commands(ids)
    assert sorted(name for _, name in engine.calls) == sorted(f"b-{n}" for n in range(30))
    assert set(Command.objects.values_list("state", "attempts")) == {("SUCCEEDED", 1)}


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_is_away_keeps_the_whole_batch_waiting(
    api: Client, engine: FakeGateway
) -> None:
    engine.is_down = True
    post(api, some(30))
    deliver()
    assert set(Command.objects.values_list("state", "attempts")) == {("QUEUED", 1)}
    assert all(command.problem for command in Command.objects.all())
