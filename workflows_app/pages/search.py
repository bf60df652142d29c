"""``/search/``: from a few letters to a workflow, a definition, a failure, a schedule or a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from workflows_app import access
from workflows_app.models import Definition, FailureGroup, Schedule
from workflows_app.pages.rendering import number_of, page, show, user_of
from workflows_app.search import BadQuery, Search
from workflows_app.search.suggestions import suggest

MOST = 6
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Hit:
    """Something to go to."""

    words: str
    href: str
    icon: str
    note: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Hits of one kind."""

    title: str
    hits: list[Hit]


# Words by which a page is found beside its name, its route, its icon, and the permission it needs.
PLACES = (
    ("Overview", "home dashboard", "overview", "overview", "view_workflow"),
    ("Workflows", "list runs", "workflows", "workflows", "view_workflow"),
    ("Failures", "errors", "failures", "failed", "view_workflow"),
    ("Approvals", "inbox signals answer", "approvals", "check", "view_workflow"),
    ("Actors", "virtual", "actors", "actors", "view_workflow"),
    ("Launch a workflow", "start run new", "launch", "launch", "start_workflow"),
    ("Schedules", "cron", "schedules", "clock", "view_workflow"),
    ("New schedule", "cron create", "schedule-new", "clock", "manage_schedule"),
    ("Definitions", "catalogue", "definitions", "definitions", "view_workflow"),
    ("Bulk operations", "many", "bulk-list", "workflows", "view_workflow"),
    ("Compare two workflows", "diff", "compare", "columns", "view_workflow"),
    ("Cluster", "nodes ray celery", "cluster", "cluster", "view_cluster"),
    ("Storage", "bytes retention", "storage", "storage", "view_cluster"),
    ("Audit log", "who did", "audit", "book", "view_audit"),
    ("Views", "saved searches", "views", "star", "view_workflow"),
    ("Settings", "profile tokens theme zone", "settings", "gear", "view_workflow"),
    ("Help and keys", "shortcuts docs", "help", "help", "view_workflow"),
)  # fmt: skip


@require_GET
@page
def search(request: HttpRequest) -> HttpResponseBase:
    """The palette's results, or the same as a page of its own."""
    q = request.GET.get("q", "").strip()[:LONGEST]
    user = user_of(request)
    finders: tuple[Callable[[User, str], Group], ...] = (_workflows, _definitions, _failures, _schedules)  # fmt: skip
    groups = [finder(user, q) for finder in finders] if q else []
    groups.append(_places(user, q))
    found = [group for group in groups if group.hits]
    return show(request, "pages/search.html", {"q": q, "groups": found})


@require_GET
@page
def suggestions(request: HttpRequest) -> HttpResponseBase:
    """How the query being written may go on, as JSON for the search field."""
    text = request.GET.get("q", "")[:1_000]
    at = number_of(request.GET.get("at", ""))
    found = suggest(text, len(text) if at is None else at)
    items = [{"text": s.text, "help": s.help, "start": s.start, "end": s.end} for s in found]
    return JsonResponse({"items": items})


def _workflows(user: User, q: str) -> Group:
    try:
        wanted = Search(q, may_see_payload=access.can(user, "view_payload")).condition
    except BadQuery:
        wanted = Q(workflow_id=q)
    rows = access.workflows_for(user).filter(wanted).order_by("-created_at", "-pk")
    hits = [
        Hit(w.workflow_id, reverse("workflow", args=[w.workflow_id]), "", w.definition or "", w.status)
        for w in rows.only("workflow_id", "definition", "status")[:MOST]
    ]  # fmt: skip
    return Group("Workflows", hits)


def _definitions(user: User, q: str) -> Group:
    rows = Definition.objects.filter(name__icontains=q, available=True).order_by("name")[:MOST]
    return Group(
        "Definitions",
        [Hit(d.name, reverse("definition", args=[d.name]), "definitions", d.description) for d in rows],
    )  # fmt: skip


def _failures(user: User, q: str) -> Group:
    rows = FailureGroup.objects.filter(Q(error_type__icontains=q) | Q(fingerprint=q))
    hits = [
        Hit(g.error_type, reverse("failure", args=[g.fingerprint]), "failed", f"{g.workflows} workflows")
        for g in rows.order_by("-workflows", "pk")[:MOST]
    ]  # fmt: skip
    return Group("Failures", hits)


def _schedules(user: User, q: str) -> Group:
    rows = Schedule.objects.filter(name__icontains=q).order_by("name")[:MOST]
    return Group(
        "Schedules",
        [Hit(s.name, reverse("schedule", args=[s.name]), "clock", s.definition) for s in rows],
    )


def _places(user: User, q: str) -> Group:
    words = q.lower().split()
    hits = [
        Hit(name, reverse(route), icon)
        for name, more, route, icon, permission in PLACES
        if all(word in f"{name} {more}".lower() for word in words) and access.can(user, permission)
    ]
    return Group("Go to", hits)
