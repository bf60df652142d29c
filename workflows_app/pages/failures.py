"""``/failures/``: what failed alike, what people say of it, and everything of a group resumed at once."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from workflows_app import access, failure_groups, keyset, queries, services
from workflows_app.failure_groups import State
from workflows_app.models import Workflow
from workflows_app.pages.rendering import number_of, page, show, topic, user_of
from workflows_app.pages.workflows import permissions, slim
from workflows_app.problems import Invalid, Stale

SIZE = 50
MEMBERS = 20
LARGEST_FIRST = keyset.Sort("workflows", descending=True)
STATES = ("open", "ignored", "resolved")
LONGEST = {"assignee": 150, "note": 2_000}


@require_GET
@page
def failure_list(request: HttpRequest) -> HttpResponseBase:
    """The groups, the largest first."""
    state = request.GET.get("state", "")
    state = state if state in STATES else "open"
    found = keyset.paged(
        failure_groups.groups(state),
        LARGEST_FIRST,
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    context = {
        "found": found,
        "state": state,
        "states": STATES,
        "may": permissions(request),
    }
    return show(request, "pages/failures.html", context, live=[topic("overview")])


@require_http_methods(["GET", "POST"])
@page
def failure_group(request: HttpRequest, fingerprint: str) -> HttpResponseBase:
    """One group: a traceback that stands for all, the workflows, and what is to be done."""
    if request.method == "POST":
        return _triage(request, fingerprint)
    group = failure_groups.find(fingerprint)
    query = failure_groups.query_of(group)
    members = queries.search(access.workflows_for(request.user), q=query, may_see_payload=True)
    newest = list(slim(members).order_by("-created_at", "-id")[:MEMBERS])
    resume = {"kind": "resume", "everything": "1", "q": query}
    context = {
        "group": group,
        "state": failure_groups.state_of(group),
        "states": State.choices,
        "workflows": newest,
        "error": newest[0].error if newest else None,
        "workflow": newest[0] if newest else None,
        "definitions": _definitions(newest),
        "list_query": urlencode({"q": query}),
        "resume_query": urlencode(resume),
        "may": permissions(request),
    }
    return show(request, "pages/failure.html", context, live=[topic("overview")])


def _definitions(workflows: list[Workflow]) -> list[str]:
    return sorted({workflow.definition for workflow in workflows if workflow.definition})


def _triage(request: HttpRequest, fingerprint: str) -> HttpResponseBase:
    changes = {
        name: request.POST.get(name, "").strip()
        for name in ("state", "assignee", "note")
        if name in request.POST
    }
    if changes.get("state", State.OPEN) not in State.values:
        raise Invalid(f"A group of failures is one of: {', '.join(State.values)}.")
    for name, most in LONGEST.items():
        if len(changes.get(name, "")) > most:
            raise Invalid(f"The {name} may have {most} characters; nothing was changed.")
    revision = request.POST.get("revision", "")
    try:
        services.triage(
            user_of(request),
            fingerprint,
            changes,
            revision=number_of(revision) or None,
        )
    except Stale as problem:
        messages.error(request, problem.detail)
    else:
        messages.success(request, "The group was changed.")
    return HttpResponseRedirect(reverse("failure", args=[fingerprint]))
