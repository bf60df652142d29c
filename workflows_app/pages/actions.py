"""``/workflows/{id}/actions/{verb}/``: ask before cancel, resume and delete; then request it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from workflows_app import access, rules, services
from workflows_app.models import Workflow
from workflows_app.pages.rendering import is_fragment, page, show, user_of
from workflows_app.problems import Conflict, NotFound


@dataclass(frozen=True, slots=True)
class Verb:
    """How a command is put to a person."""

    title: str
    button: str
    explanation: str
    danger: bool
    done: str


VERBS = {
    "cancel": Verb(
        title="Cancel this workflow?",
        button="Cancel workflow",
        explanation="Tasks that run now are stopped and no further task starts. Finished tasks"
        " keep their checkpoints, but a canceled workflow cannot be resumed.",
        danger=True,
        done="Cancel requested",
    ),
    "suspend": Verb(
        title="Suspend this workflow?",
        button="Suspend workflow",
        explanation="Tasks that run now are stopped and no further task starts. Finished tasks keep"
        " their checkpoints, and Resume goes on from there.",
        danger=False,
        done="Suspend requested",
    ),
    "resume": Verb(
        title="Resume this workflow?",
        button="Resume workflow",
        explanation="Every finished task is reused from its checkpoint; failed and missing tasks"
        " run again under the same id.",
        danger=False,
        done="Resume requested",
    ),
    "delete": Verb(
        title="Delete this workflow?",
        button="Delete workflow",
        explanation="Its journal, checkpoints and results are removed from the storage."
        " This cannot be undone.",
        danger=True,
        done="Delete requested",
    ),
}


@require_http_methods(["GET", "POST"])
@page
def action(request: HttpRequest, workflow_id: str, verb: str) -> HttpResponseBase:
    """The question (a page of its own, or the content of a dialog), or the request itself."""
    if verb not in VERBS:
        raise NotFound(f"There is no action {verb!r}; use one of: {', '.join(VERBS)}.")
    workflow = access.workflow_for(request.user, workflow_id)
    access.require(request.user, access.PERMISSION_OF_KIND[verb])
    if request.method == "POST":
        return _request(request, verb, workflow)
    why_not = rules.refusal(verb, status=workflow.status, pending_command=workflow.pending_command)
    context = {
        "workflow": workflow,
        "kind": verb,
        "verb": VERBS[verb],
        "why_not": why_not,
        "action": reverse("workflow-action", args=[workflow_id, verb]),
        "back": reverse("workflow", args=[workflow_id]),
    }
    template = "parts/confirm_action.html" if is_fragment(request) else "pages/confirm.html"
    return show(request, template, {**context, "body": "parts/confirm_action.html"})


def _request(request: HttpRequest, verb: str, workflow: Workflow) -> HttpResponseBase:
    reason = request.POST.get("reason", "").strip()[:500]
    target = reverse("workflow", args=[workflow.workflow_id])
    try:
        services.request(user_of(request), verb, workflow, reason=reason)
    except Conflict as problem:
        # Somebody else was faster, or it ended meanwhile: the page shows its present state.
        messages.error(request, problem.detail)
    else:
        messages.success(request, f"{VERBS[verb].done} for {workflow.workflow_id}.")
        if verb == "delete":
            target = reverse("workflows")
    return HttpResponseRedirect(target)
