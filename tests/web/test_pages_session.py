"""Signing in and out, and the preferences kept in cookies."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from tests.web import factories
from tests.web.pages import check_markup, signed_in, text_of

pytestmark = pytest.mark.django_db


def test_the_login_form_is_labelled_and_leads_to_the_page_asked_for(operator: User) -> None:
    client = Client()
    text = text_of(client.get("/login/?next=/workflows/"))
    check_markup(text)
    assert ">Username</label>" in text
    assert ">Password</label>" in text
    data = {"username": "omar", "password": "omar-password", "next": "/workflows/"}
    response = client.post("/login/", data)
    assert response.headers["Location"] == "/workflows/"


@pytest.mark.parametrize("password", ["wrong", "", "OMAR-PASSWORD"])
def test_a_wrong_password_is_told_without_saying_what_was_wrong(
    password: str, operator: User
) -> None:
    response = Client().post("/login/", {"username": "omar", "password": password})
    assert response.status_code == 200
    check_markup(text_of(response))
    assert "sessionid" not in response.cookies


def test_who_guesses_passwords_is_stopped_for_a_while(operator: User, viewer: User) -> None:
    def sign_in(name: str, password: str, address: str = "10.0.0.1") -> Any:
        data = {"username": name, "password": password}
        return Client(REMOTE_ADDR=address).post("/login/", data)

    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert sign_in("omar", "guess").status_code == 200
    refused = sign_in("omar", "guess")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
    check_markup(text_of(refused))
    assert "Too many wrong passwords" in text_of(refused)
    assert sign_in("omar", "omar-password").status_code == 429
    assert sign_in("vera", "vera-password").status_code == 302  # others go on
    assert sign_in("omar", "omar-password", "10.0.0.2").status_code == 302
    call_command("axes_reset_username", "omar", verbosity=0)
    assert sign_in("omar", "omar-password").status_code == 302


def test_the_login_never_leads_to_another_host(operator: User) -> None:
    data = {"username": "omar", "password": "omar-password", "next": "https://evil.example/"}
    assert Client().post("/login/", data).headers["Location"] == "/"


def test_signing_out_needs_a_post(operator: User) -> None:
    client = signed_in(operator)
    assert client.get("/logout/").status_code == 405
    assert client.get("/").status_code == 200
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/").status_code == 302


@pytest.mark.parametrize(
    ("cookie", "theme"),
    [("dark", "dark"), ("light", "light"), ("system", "system"), ('"><script>', "system")],
)
def test_the_theme_is_in_the_page_before_any_script_runs(
    cookie: str, theme: str, operator: User
) -> None:
    client = signed_in(operator)
    client.cookies["theme"] = cookie
    assert f'data-theme="{theme}"' in text_of(client.get("/"))


def test_preferences_can_be_set_without_scripts(operator: User) -> None:
    client = signed_in(operator)
    response = client.post("/preferences/", {"theme": "dark", "next": "/workflows/?q=a"})
    assert response.headers["Location"] == "/workflows/?q=a"
    assert client.cookies["theme"].value == "dark"
    assert 'data-theme="dark"' in text_of(client.get("/"))


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:1", ""])
def test_preferences_lead_back_to_our_own_pages_only(target: str, operator: User) -> None:
    response = signed_in(operator).post("/preferences/", {"theme": "loud", "next": target})
    assert response.headers["Location"] == "/"
    assert "theme" not in response.cookies


def test_the_overview_counts_and_explains(operator: User) -> None:
    client = signed_in(operator)
    empty = text_of(client.get("/"))
    assert "Run your first durable workflow" in empty
    assert "The follower has not reported yet." in empty
    factories.showcase()
    text = text_of(client.get("/"))
    assert "Run your first durable workflow" not in text
    assert "follower" not in text
    assert "66 workflows created" in text or "65 workflows created" in text
    state = factories.healthy()
    state.engine_reachable = False
    state.detail = "Ray answers no more."
    state.save()
    assert "Ray answers no more." in text_of(client.get("/"))
