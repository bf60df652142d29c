"""The inbox of approvals and the form that answers one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.web.fake_gateway import START, FakeGateway
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from tests.web.stories import begin
from tests.web.worker import deliver
from workflows_app.follower import Follower
from workflows_app.gateway import EngineProblem
from workflows_app.models import Command

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

LIST = "/approvals/"
ANSWER = "/workflows/{}/tasks/ask/answer/"
AMOUNT = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "minimum": 1}},
    "required": ["amount"],
}


def ask(engine: FakeGateway, workflow_id: str, **wait: Any) -> None:
    begin(engine, workflow_id)
    options = {"wait": {"kind": "approval", **wait}}
    engine.write(workflow_id, "task", "ask", name="ask", options=options)
    engine.write(workflow_id, "waiting", "ask", until=START + 3600)
    Follower(engine).follow([workflow_id])


def said() -> list[Any]:
    return [command.payload["payload"] for command in Command.objects.order_by("created_at")]


def test_the_inbox_lists_what_is_asked(operator: User, engine: FakeGateway) -> None:
    client = signed_in(operator)
    assert "Nothing waits for an answer" in text_of(client.get(LIST))
    ask(engine, "w1", title="Pay?")
    ask(engine, "w2", title=HOSTILE, assignees=["ada", "bob"])
    with statements() as asked:
        text = text_of(client.get(LIST))
    check_markup(text)
    assert len(asked) <= 7
    assert "Pay?" in text
    assert "ada, bob" in text
    assert text.count(">Answer</a>") == 1
    assert "for others" in text


def test_an_approval_is_given(operator: User, engine: FakeGateway) -> None:
    ask(engine, "w1", title="Pay?", schema=AMOUNT)
    client = signed_in(operator)
    with statements() as asked:
        text = text_of(client.get(ANSWER.format("w1")))
    check_markup(text)
    assert len(asked) <= 9
    key = re.search(r'name="key" value="(\w+)"', text)
    assert key is not None
    form = {"decision": "approve", "p/answer/amount": "7", "key": key[1]}
    for _ in range(2):  # a double click
        answer = client.post(ANSWER.format("w1"), form, follow=True)
    assert "Approval of ask in w1 sent" in text_of(answer)
    assert "answer sent" in text_of(answer)
    assert said() == [{"approved": True, "answer": {"amount": 7}}]
    deliver()
    assert engine.calls == [("tell", "w1")]


def test_a_mistake_is_shown_at_its_field_and_nothing_is_sent(
    operator: User, engine: FakeGateway
) -> None:
    ask(engine, "w1", title="Pay?", schema=AMOUNT)
    for amount, words in (("0", "less than the minimum"), ("many", "whole number"), ("", "")):
        form = {"decision": "approve", "p/answer/amount": amount}
        answer = signed_in(operator).post(ANSWER.format("w1"), form)
        assert answer.status_code == 400
        text = text_of(answer)
        check_markup(text)
        assert "field-error" in text
        assert words in text
    assert said() == []


def test_a_rejection_needs_no_answer(operator: User, engine: FakeGateway) -> None:
    ask(engine, "w1", title="Pay?", schema=AMOUNT)
    signed_in(operator).post(ANSWER.format("w1"), {"decision": "reject"})
    assert said() == [{"approved": False, "answer": None}]


@pytest.mark.parametrize(
    ("schema", "sent", "answer"),
    [
        (None, {}, None),
        ({"type": "string"}, {"p/answer": "fine"}, "fine"),
        ({"type": "array", "items": {"type": "integer"}}, {"p/answer": "1\n2"}, [1, 2]),
        (
            {"$ref": "#/$defs/Size", "$defs": {"Size": {"enum": ["s", "m"]}}},
            {"p/answer": '"m"'},
            "m",
        ),
    ],
)
def test_an_answer_may_be_of_any_type(
    operator: User, engine: FakeGateway, schema: Any, sent: dict[str, str], answer: Any
) -> None:
    ask(engine, "w1", title="?", **({"schema": schema} if schema else {}))
    client = signed_in(operator)
    check_markup(text_of(client.get(ANSWER.format("w1"))))
    client.post(ANSWER.format("w1"), {"decision": "approve", **sent})
    assert said() == [{"approved": True, "answer": answer}]


def test_only_who_is_asked_may_answer(
    operator: User, administrator: User, engine: FakeGateway
) -> None:
    ask(engine, "w1", title="Pay?", assignees=["ada"])
    client = signed_in(operator)
    text = text_of(client.get(ANSWER.format("w1")))
    assert "This is for ada to answer" in text
    assert 'name="decision"' not in text
    assert client.post(ANSWER.format("w1"), {"decision": "approve"}).status_code == 403
    assert said() == []
    signed_in(administrator).post(ANSWER.format("w1"), {"decision": "approve"})
    assert len(said()) == 1


def test_what_the_engine_refuses_is_told(operator: User, engine: FakeGateway) -> None:
    ask(engine, "w1", title="Pay?")

    def refuse(*_: Any, **__: Any) -> None:
        raise EngineProblem("invalid_payload", title="No", detail="It is too much.", status=400)

    engine.tell = refuse  # type: ignore[method-assign]
    client = signed_in(operator)
    client.post(ANSWER.format("w1"), {"decision": "approve"})
    deliver()
    text = text_of(client.get(ANSWER.format("w1")))
    assert "The last answer was refused" in text
    assert "It is too much" in text


def test_what_is_answered_asks_no_more(operator: User, engine: FakeGateway) -> None:
    ask(engine, "w1", title="Pay?")
    engine.write("w1", "succeeded", "ask", 1, started_at=START, finished_at=START + 1)
    Follower(engine).follow(["w1"])
    client = signed_in(operator)
    for answer in (
        client.get(ANSWER.format("w1")),
        client.post(ANSWER.format("w1"), {"decision": "approve"}),
    ):
        assert answer.status_code == 409
        assert "asks for no answer now" in text_of(answer)
    assert client.get(ANSWER.format("ghost")).status_code == 404


def test_a_task_that_asks_leads_to_its_form(operator: User, engine: FakeGateway) -> None:
    ask(engine, "w1", title="Pay?")
    text = text_of(signed_in(operator).get("/workflows/w1/tasks/ask/"))
    assert f'href="{ANSWER.format("w1")}"' in text
