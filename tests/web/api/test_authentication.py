"""Who may call: tokens, sessions, scopes, permissions."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app import tokens
from workflows_app.api.throttling import AnonymousRate
from workflows_app.models import ApiToken
from workflows_app.problems import Invalid

ME = "/api/v1/me/"


def with_token(plain: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {plain}"})


def test_without_credentials_the_answer_says_how_to_sign_in(client: Client) -> None:
    answer = client.get("/api/v1/workflows/")
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rayflow"'


def test_a_token_stands_for_its_owner(operator: User) -> None:
    token, plain = tokens.create(operator, "nightly", scope="write")
    body = with_token(plain).get(ME).json()
    assert body["username"] == "omar"
    assert body["groups"] == ["operator"]
    assert "start_workflow" in body["permissions"]
    assert body["token"]["name"] == "nightly"
    assert body["token"]["scope"] == "write"
    assert plain not in str(body)
    token.refresh_from_db()
    assert token.last_used_at is not None
    assert plain.startswith("rf_")
    assert plain not in str(vars(token))


def test_the_use_of_a_token_is_noted_once_a_minute(
    operator: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    _, plain = tokens.create(operator, "busy")
    tokens.authenticate(plain, "127.0.0.1")
    with django_assert_num_queries(1):
        tokens.authenticate(plain, "127.0.0.1")


def test_a_token_lives_ninety_days_unless_told_otherwise(operator: User) -> None:
    token, _ = tokens.create(operator, "default")
    assert token.expires_at is not None
    assert timedelta(days=89) < token.expires_at - timezone.now() < timedelta(days=91)


def _expired(token: ApiToken) -> None:
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def _owner_left(token: ApiToken) -> None:
    User.objects.filter(pk=token.user.pk).update(is_active=False)


@pytest.mark.parametrize("spoil", [_expired, _owner_left, tokens.revoke])
def test_a_token_that_is_no_longer_good_opens_nothing(operator: User, spoil: Any) -> None:
    token, plain = tokens.create(operator, "old")
    spoil(token)
    answer = with_token(plain).get(ME)
    assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rayflow", error="invalid_token"'


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer rf_wrong", "Basic b21hcjp4", "x"])
def test_a_header_that_names_no_token_opens_nothing(db: None, header: str) -> None:
    answer = Client(headers={"Authorization": header}).get(ME)
    assert_problem(answer, 401, "unauthenticated")


def test_a_changed_token_opens_nothing(operator: User) -> None:
    _, plain = tokens.create(operator, "nightly")
    other = "A" if plain[-2] != "A" else "B"
    assert_problem(with_token(plain[:-2] + other + plain[-1]).get(ME), 401, "unauthenticated")


def test_a_read_token_cannot_write(
    client_for: ClientFor, administrator: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    reader = client_for(administrator, "read")
    assert reader.get("/api/v1/workflows/etl/").status_code == 200
    for answer in (
        reader.post("/api/v1/workflows/", data={}, content_type="application/json"),
        reader.post("/api/v1/workflows/etl/actions/cancel/", content_type="application/json"),
        reader.delete("/api/v1/workflows/etl/"),
    ):
        problem = assert_problem(answer, 403, "insufficient_scope")
        assert "scope read" in problem["detail"]


def test_a_token_gives_no_more_than_its_owner_has(
    client_for: ClientFor, viewer: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    caller = client_for(viewer, "admin")
    answer = caller.delete("/api/v1/workflows/etl/")
    problem = assert_problem(answer, 403, "forbidden")
    assert "delete_workflow" in problem["detail"]


def test_an_account_without_a_role_sees_no_workflow(
    client_for: ClientFor, nobody: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    problem = assert_problem(client_for(nobody).get("/api/v1/workflows/"), 403, "forbidden")
    assert "view_workflow" in problem["detail"]


def test_a_session_may_read_and_with_the_csrf_token_write(
    administrator: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("etl")
    client = Client(enforce_csrf_checks=True)
    client.force_login(administrator)
    assert client.get(ME).json()["token"] is None
    client.cookies["csrftoken"] = secret = "a" * 32
    answer = client.post(
        "/api/v1/workflows/etl/actions/cancel/",
        content_type="application/json",
        headers={"X-CSRFToken": secret},
    )
    assert answer.status_code == 202


def test_too_many_requests_say_when_to_come_back(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnonymousRate, "rate", "2/min", raising=False)
    guess = {"Authorization": "Bearer rf_guess"}
    for _ in range(2):
        assert client.get(ME, headers=guess).status_code == 401
    answer = client.get(ME, headers=guess)
    assert_problem(answer, 429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_the_command_prints_the_token_and_nothing_else(operator: User) -> None:
    out = StringIO()
    call_command("create_token", "ci", "--user", "omar", "--scope", "write", stdout=out)
    plain = out.getvalue()
    assert plain.count("\n") == 1
    assert tokens.authenticate(plain.strip(), "").scope == "write"


def test_a_token_may_be_bound_to_networks(operator: User) -> None:
    out = StringIO()
    arguments = ["ci", "--user", "omar", "--network", "10.1.0.0/16", "--network", "2001:db8::7"]
    call_command("create_token", *arguments, stdout=out)
    client = with_token(out.getvalue().strip())
    for address in ("10.1.2.3", "2001:db8::7", "::ffff:10.1.2.3"):
        assert client.get(ME, REMOTE_ADDR=address).status_code == 200, address
    for address in ("10.2.0.1", "2001:db8::8", "127.0.0.1", ""):
        refused = client.get(ME, REMOTE_ADDR=address)
        assert_problem(refused, 401, "unauthenticated")
    assert "may not be used from" in refused.json()["detail"]
    assert ApiToken.objects.get().networks == ["10.1.0.0/16", "2001:db8::7/128"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ci", "--user", "ghost"],
        ["", "--user", "omar"],
        ["ci", "--user", "omar", "--days", "0"],
        ["ci", "--user", "omar", "--network", "intranet"],
    ],
)
def test_the_command_refuses_in_one_sentence(operator: User, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"\."):
        call_command("create_token", *arguments)


def test_a_token_with_an_unknown_scope_is_refused(operator: User) -> None:
    with pytest.raises(Invalid, match="root"):
        tokens.create(operator, "x", scope="root")
