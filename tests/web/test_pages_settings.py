"""Settings: preferences kept with the account, passwords, tokens, members."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.web.pages import HOSTILE, check_markup, signed_in, text_of
from workflows_app.models import ApiToken, AuditEntry, Preferences

pytestmark = pytest.mark.django_db


def test_preferences_follow_the_account_to_another_browser(operator: User) -> None:
    first = signed_in(operator)
    first.post(
        "/preferences/",
        {"theme": "dark", "zone": "Asia/Kathmandu", "keys": "off", "next": "/settings/"},
    )
    other = Client()
    other.post("/login/", {"username": "omar", "password": "omar-password"})
    assert {name: other.cookies[name].value for name in ("theme", "zone", "keys")} == {
        "theme": "dark", "zone": "Asia/Kathmandu", "keys": "off",
    }  # fmt: skip
    assert '<option value="Asia/Kathmandu" selected>' in text_of(other.get("/settings/"))


def test_a_preference_is_taken_back_and_bad_ones_change_nothing(operator: User) -> None:
    client = signed_in(operator)
    client.post("/preferences/", {"zone": "Europe/Lisbon"})
    client.post(
        "/preferences/", {"zone": "Mars/Olympus", "theme": HOSTILE, "columns": ["status", "nope"]}
    )
    assert Preferences.objects.get().values == {"zone": "Europe/Lisbon"}
    client.post("/preferences/", {"zone": ""})
    assert Preferences.objects.get().values == {}
    assert client.cookies["zone"].value == ""


def test_the_password_is_changed_and_this_browser_stays_signed_in(operator: User) -> None:
    client = signed_in(operator)
    new = {"new_password1": "a-Long-enough-1", "new_password2": "a-Long-enough-1"}
    wrong = client.post("/settings/", {"old_password": "wrong", **new})
    assert wrong.status_code == 400
    assert client.post("/settings/", {"old_password": "omar-password", **new}).status_code == 302
    assert client.get("/settings/").status_code == 200
    operator.refresh_from_db()
    assert operator.check_password("a-Long-enough-1")


def test_a_token_is_shown_once_and_works_until_it_is_revoked(operator: User) -> None:
    client = signed_in(operator)
    answer = client.post(
        "/settings/tokens/", {"name": "deploy", "scope": "read", "days": "30", "networks": ""}
    )
    assert answer.status_code == 201
    secret = re.search(r"rf_[\w-]{20,}", text_of(answer))
    assert secret is not None
    program = {"HTTP_AUTHORIZATION": f"Bearer {secret[0]}"}
    assert Client().get("/api/v1/me/", **program).status_code == 200  # type: ignore[arg-type]
    listed = text_of(client.get("/settings/tokens/"))
    assert secret[0] not in listed
    token = ApiToken.objects.get()
    assert client.post("/settings/tokens/", {"revoke": token.pk}).status_code == 302
    assert Client().get("/api/v1/me/", **program).status_code == 401  # type: ignore[arg-type]
    assert set(AuditEntry.objects.values_list("verb", flat=True)) >= {
        "create token",
        "revoke token",
    }


def test_mistakes_in_a_token_are_said_at_the_field_and_strangers_revoke_nothing(
    operator: User, viewer: User
) -> None:
    client = signed_in(operator)
    bad = client.post(
        "/settings/tokens/", {"name": "x", "scope": "read", "days": "30", "networks": "nowhere"}
    )
    assert bad.status_code == 400
    assert "no address or network" in text_of(bad)
    client.post(
        "/settings/tokens/",
        {"name": HOSTILE[:90], "scope": "write", "days": "7", "networks": "10.0.0.0/8"},
    )
    token = ApiToken.objects.get()
    assert check_markup(text_of(client.get("/settings/tokens/"))).faults == []
    assert signed_in(viewer).post("/settings/tokens/", {"revoke": token.pk}).status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None


def test_members_are_added_given_roles_and_switched_off(administrator: User, viewer: User) -> None:
    client = signed_in(administrator)
    added = client.post(
        "/settings/members/", {"username": "grace", "password": "quite-Long-9", "role": "viewer"}
    )
    assert added.status_code == 302
    grace = User.objects.get(username="grace")
    assert grace.check_password("quite-Long-9")
    client.post("/settings/members/", {"member": grace.pk, "role": "operator"})
    assert [group.name for group in grace.groups.all()] == ["operator"]
    member = signed_in(grace)
    client.post("/settings/members/", {"member": grace.pk, "active": "off"})
    assert member.get("/").status_code == 302  # to the sign-in page: the session has ended
    client.post("/settings/members/", {"member": grace.pk, "active": "on"})
    grace.refresh_from_db()
    assert grace.is_active
    verbs = list(AuditEntry.objects.filter(target="grace").values_list("verb", flat=True))
    assert verbs == ["switch on member", "switch off member", "change role", "add member"]


@pytest.mark.parametrize(
    "given",
    [
        {"username": "vera", "password": "quite-Long-9", "role": "viewer"},  # taken
        {"username": "", "password": "quite-Long-9", "role": "viewer"},
        {"username": "new", "password": "123", "role": "viewer"},
        {"username": "new", "password": "quite-Long-9", "role": "king"},
        {"username": "a b/<", "password": "quite-Long-9", "role": "viewer"},
    ],
)
def test_a_member_that_cannot_be_is_refused_with_a_reason(
    given: dict[str, str], administrator: User, viewer: User
) -> None:
    before = User.objects.count()
    answer = signed_in(administrator).post("/settings/members/", given)
    assert answer.status_code == 400
    assert "field-error" in text_of(answer)
    assert User.objects.count() == before


def test_nobody_raises_themselves_or_touches_a_superuser(
    administrator: User, operator: User
) -> None:
    root = User.objects.create_superuser("root")
    client = signed_in(administrator)
    for member in (administrator, root):
        assert (
            client.post("/settings/members/", {"member": member.pk, "role": "viewer"}).status_code
            == 403
        )
        assert (
            client.post("/settings/members/", {"member": member.pk, "active": "off"}).status_code
            == 403
        )
    assert (
        client.post("/settings/members/", {"member": "999999", "role": "viewer"}).status_code == 404
    )
    assert (
        client.post("/settings/members/", {"member": operator.pk, "role": "king"}).status_code
        == 400
    )
