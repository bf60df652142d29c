"""Roles times every route of the API and the console, every export, every admin view and every live topic.

The table says which permission each needs. A route that is not in it fails the test, so none is forgotten.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.throttling import SimpleRateThrottle

from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from workflows_app import access, live, tokens
from workflows_app.models import (
    BulkOperation,
    Command,
    FailureGroup,
    SavedView,
    Schedule,
    Workflow,
)
from workflows_app.problems import Forbidden

LOOK = "view_workflow"
# What each route of the API needs; where methods differ, by method. None: an account, "": nothing.
API: dict[str, Any] = {
    "definitions": LOOK, "definition": LOOK,
    "workflows": {"get": LOOK, "post": "start_workflow"},
    "workflow-batch": {"post": "start_workflow"},
    "workflow": {"get": LOOK, "delete": "delete_workflow"},
    "status": LOOK, "metadata": LOOK, "graph": LOOK, "timeline": LOOK, "tasks": LOOK, "task": LOOK,
    "task-groups": LOOK, "task-metadata": LOOK, "events": "view_events",
    "output": "view_payload", "output-raw": "download_payload", "task-output-raw": "download_payload",
    "attempt-logs": "view_logs",
    "cancel": "cancel_workflow", "suspend": "cancel_workflow", "resume": "resume_workflow",
    "rerun": "start_workflow", "fork": "start_workflow",
    "resolve": "resume_workflow", "unresolve": "resume_workflow",
    "signal": "signal_workflow", "answer": "signal_workflow",
    "workflow-counts": LOOK, "workflow-facets": LOOK, "compare": LOOK, "actors": LOOK, "approvals": LOOK,
    "export-workflows": LOOK, "export-tasks": LOOK, "export-events": "view_events",
    "export-bulk-items": LOOK, "export-audit-entries": "view_audit",
    "failure-groups": LOOK, "failure-group": {"get": LOOK, "patch": "resume_workflow"},
    "saved-views": LOOK, "saved-view": {"get": LOOK},  # to change one is for its owner, see api/test_saved_views.py

    "bulk-operations": {"get": LOOK, "post": "bulk"}, "bulk-operation": LOOK, "bulk-items": LOOK,
    "bulk-action": "bulk", "operation": LOOK,
    "schedules": {"get": LOOK, "post": "manage_schedule"},
    "schedule": {"get": LOOK, "put": "manage_schedule", "delete": "manage_schedule"},
    "schedule-preview": LOOK, "schedule-runs": LOOK, "schedule-backfill": "manage_schedule",
    "schedule-action": "manage_schedule",
    "audit-entries": "view_audit", "cluster": "view_cluster", "me": None, "schema": None,
}  # fmt: skip
# The same for what lies beside it.
PAGES: dict[str, Any] = {
    "overview": LOOK, "workflows": LOOK, "workflow-rows": LOOK, "workflow": LOOK,
    "workflow-tasks": LOOK, "workflow-task": LOOK, "workflow-graph": LOOK, "workflow-timeline": LOOK,
    "workflow-events": "view_events",
    "workflow-action": {"get": "resume_workflow", "post": "resume_workflow"},
    "failures": LOOK, "failure": {"get": LOOK, "post": "resume_workflow"},
    "schedules": LOOK, "schedule": LOOK, "schedule-new": "manage_schedule",
    "schedule-edit": "manage_schedule",
    "schedule-action": {"get": "manage_schedule", "post": "manage_schedule"},
    "workflow-task-log": "view_logs", "audit": "view_audit", "compare": LOOK, "workflow-plan": LOOK,
    "approvals": LOOK, "answer": "signal_workflow",
    "actors": LOOK, "launch": "start_workflow", "definitions": LOOK, "definition": LOOK,
    "bulk-list": LOOK, "bulk-new": "bulk", "bulk": LOOK, "bulk-action": {"post": "bulk"},
    "cluster": "view_cluster", "storage": "view_cluster", "help": LOOK, "api-docs": None,
    "workflow-graph-data": LOOK, "workflow-timeline-data": LOOK,
    "workflow-logs": "view_logs", "workflow-resolution": {"post": "resume_workflow"},
    "launch-preset": {"post": "start_workflow"},
    "views": LOOK, "view-new": LOOK, "search": LOOK, "suggestions": LOOK,
    "settings": LOOK, "settings-tokens": LOOK, "settings-members": "manage_members",
    "send-event": {"post": "signal_workflow"}, "metrics": "view_cluster",
    "login": "", "logout": {"post": ""}, "preferences": {"post": None}, "healthz": "", "readyz": "",
}  # fmt: skip
ROLES = ("anonymous", "nobody", "viewer", "operator", "administrator")


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    cache.clear()
    monkeypatch.setattr(SimpleRateThrottle, "allow_request", lambda *_: True)


@pytest.fixture
def people(nobody: User, viewer: User, operator: User, administrator: User) -> dict[str, Any]:
    return {
        "anonymous": None, "nobody": nobody, "viewer": viewer, "operator": operator,
        "administrator": administrator,
    }  # fmt: skip


@pytest.fixture
def places(engine: FakeGateway, operator: User) -> dict[str, Any]:
    """What the addresses name: one thing of every kind."""
    factories.definition("digits_training")
    owner = factories.workflow("w1", "FAILED", error=factories.error("fit"))
    task = factories.tasks(owner, [("fit", 1, "FAILED")])[0]
    factories.attempts(task, ["FAILED"])
    bulk = BulkOperation.objects.create(kind="resume", created_by=operator)
    command = Command.objects.create(kind="resume", workflow_id="w1", state="SUCCEEDED")
    Schedule.objects.create(name="nightly", definition="digits_training", every_seconds=60)
    FailureGroup.objects.create(fingerprint="f" * 16, error_type="ValueError", workflows=1)
    view = SavedView.objects.create(owner=operator, name="mine", shared=True)
    return {
        "workflow_id": "w1", "task_id": "fit", "number": 1, "bulk_id": bulk.pk,
        "operation_id": command.pk, "view_id": view.pk, "verb": "resume", "fingerprint": "f" * 16,
    }  # fmt: skip


def routes(prefix: str) -> Iterator[tuple[str, Any]]:
    """Names and callbacks of all routes but the Django admin's, those of the API or the others."""

    def walk(resolver: URLResolver, space: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in resolver.url_patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, pattern.namespace or space)
            else:
                yield space, pattern

    for space, pattern in walk(get_resolver(), ""):
        if space == prefix:
            yield pattern.name or str(pattern.pattern), pattern


def test_the_table_names_every_route() -> None:
    assert {name for name, _ in routes("api")} == set(API)
    assert {name for name, _ in routes("")} == set(PAGES)


def names_of(pattern: URLPattern, places: dict[str, Any]) -> dict[str, Any]:
    known = dict(places)
    known["name"] = "nightly" if "schedule" in str(pattern.pattern) else "digits_training"
    if pattern.name in ("bulk-action", "schedule-action"):
        known["verb"] = "pause"
    return {name: known[name] for name in pattern.pattern.converters}


def needed(table: dict[str, Any], name: str, methods: list[str]) -> dict[str, Any]:
    rule = table[name]
    return rule if isinstance(rule, dict) else dict.fromkeys(methods, rule)


def methods_of(pattern: URLPattern) -> list[str]:
    view = getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)
    if view is None:
        return ["get"]
    return [m for m in view.http_method_names if hasattr(view, m) and m in VERBS]


VERBS = ("get", "post", "put", "patch", "delete")


def may(who: User | None, permission: str | None) -> bool:
    if permission == "":
        return True
    return who is not None and (permission is None or access.can(who, permission))


@pytest.mark.parametrize("role", ROLES)
def test_every_call_of_the_api_asks_for_its_permission(
    role: str, people: dict[str, Any], places: dict[str, Any]
) -> None:
    who = people[role]
    headers = {}
    if who is not None:
        headers = {"Authorization": f"Bearer {tokens.create(who, 't', scope='admin')[1]}"}
    client = Client(raise_request_exception=False, headers=headers)
    wrong = []
    for name, pattern in routes("api"):
        address = reverse(f"api:{name}", kwargs=names_of(pattern, places))
        for method, permission in needed(API, name, methods_of(pattern)).items():
            answer = client.generic(method.upper(), address, "{}", "application/json")
            allowed = may(who, permission)
            status = answer.status_code
            refused = status in ((401,) if who is None else (403,))
            if refused == allowed or status >= 500:
                wrong.append((method, address, status, allowed))
            if refused and who is not None and permission not in answer.json()["detail"]:
                wrong.append((method, address, "does not name", permission))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_every_page_asks_for_its_permission(
    role: str, people: dict[str, Any], places: dict[str, Any]
) -> None:
    who, client = people[role], Client(raise_request_exception=False)
    if who is not None:
        client.force_login(who)
    wrong = []
    for name, pattern in routes(""):
        kinds = names_of(pattern, places)
        address = reverse(name, kwargs=kinds)
        for method, permission in needed(PAGES, name, ["get"]).items():
            answer = getattr(client, method)(address)
            status = answer.status_code
            allowed = may(who, permission)
            to_login = status == 302 and answer.headers["Location"].startswith("/login/")
            refused = to_login or status in (401, 403, 404)
            if name in ("login", "logout", "preferences"):
                refused = status in (401, 403)
                allowed = allowed or who is None
            if name == "logout" and who is not None:
                client.force_login(who)
            if refused == allowed or status >= 500:
                wrong.append((method, address, status, allowed))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_every_view_of_the_admin_asks_for_its_permission(
    role: str, people: dict[str, Any], places: dict[str, Any]
) -> None:
    who, client = people[role], Client(raise_request_exception=False)
    if who is not None:
        client.force_login(who)
    wrong = []
    for model in admin.site._registry:
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        for view in ("changelist", "add"):
            status = client.get(reverse(f"admin:{label}_{view}")).status_code
            if role != "administrator":
                if status == 200:
                    wrong.append((label, view, status))
                continue
            codename = {"changelist": "view", "add": "add"}[view]
            has = who.has_perm(f"{model._meta.app_label}.{codename}_{model._meta.model_name}")
            if has != (status == 200) or status >= 500:
                wrong.append((label, view, status, has))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_live_topics_are_for_who_may_see_workflows(role: str, people: dict[str, Any]) -> None:
    who = people[role] or AnonymousUser()
    if may(people[role], LOOK):
        live.check(who)
        return
    with pytest.raises(Forbidden):
        live.check(who)


def test_a_live_topic_shows_messages_to_those_alone_who_may_see_values(
    places: dict[str, Any],
) -> None:
    for payload in (True, False):
        subscription = live.Subscription("s", live.parse("workflow:w1", {}), payload=payload)
        news = subscription.tell(live.read([subscription]))
        assert news is not None
        assert ("error_head" in (news.data or {})) == payload


@pytest.mark.parametrize("scope", ["read", "write", "admin"])
def test_a_token_does_no_more_than_its_scope_and_its_owner(
    scope: str, administrator: User, viewer: User, places: dict[str, Any]
) -> None:
    def post(user: User) -> int:
        secret = tokens.create(user, "t", scope=scope)[1]
        client = Client(headers={"Authorization": f"Bearer {secret}"})
        url = "/api/v1/workflows/w1/actions/resolve/"
        return client.post(url, "{}", content_type="application/json").status_code

    assert post(administrator) == (403 if scope == "read" else 200)
    assert post(viewer) == 403


def test_nobody_learns_of_a_workflow_from_a_refusal(nobody: User, places: dict[str, Any]) -> None:
    client = Client(headers={"Authorization": f"Bearer {tokens.create(nobody, 't')[1]}"})
    there = client.get("/api/v1/workflows/w1/")
    gone = client.get(f"/api/v1/workflows/{uuid.uuid4()}/")
    assert (there.status_code, there.json()["code"]) == (gone.status_code, gone.json()["code"])
    assert Workflow.objects.filter(workflow_id="w1").exists()
