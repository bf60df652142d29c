"""The page of the audit log."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User

from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from workflows_app.models import AuditEntry

pytestmark = pytest.mark.django_db

PAGE = "/audit/"


def times(text: str) -> int:
    return len(re.findall(r'<tr id="l\d+"', text))


def test_the_log_is_shown_filtered_and_paged(administrator: User) -> None:
    client = signed_in(administrator)
    empty = text_of(client.get(PAGE))
    check_markup(empty)
    assert "Nothing yet" in empty
    for n in range(130):
        AuditEntry.objects.create(
            actor="omar" if n % 2 else HOSTILE, verb="cancel" if n % 5 else "launch",
            target=f"w{n}", detail={"reason": HOSTILE}, request_id="r" * 40,
        )  # fmt: skip
    with statements() as asked:
        text = text_of(client.get(PAGE))
    check_markup(text)
    assert len(asked) <= 6
    assert times(text) == 100
    following = re.search(r'rel="next" href="([^"]+)"', text)
    assert following is not None
    assert times(text_of(client.get(PAGE + following[1].replace("&amp;", "&")))) == 30
    assert times(text_of(client.get(PAGE + "?actor=omar&verb=launch"))) == 13
    one = text_of(client.get(PAGE + "?target=w7"))
    assert times(one) == 1
    assert "format=csv&amp;target=w7" in one
    assert "No entry matches" in text_of(client.get(PAGE + "?target=w"))


def test_who_may_not_see_it_finds_no_link(operator: User, administrator: User) -> None:
    link = 'href="/audit/"'
    assert link in text_of(signed_in(administrator).get("/"))
    assert link not in text_of(signed_in(operator).get("/"))
    assert signed_in(operator).get(PAGE).status_code == 403
