"""``/workflows/{id}/plan/``: what a resume or a fork would reuse and run again, before it is asked for."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from workflows_app import access, rules, services
from workflows_app.models import Command, CommandKind, CommandState, Workflow
from workflows_app.pages.detail import shared, topics
from workflows_app.pages.rendering import page, show, user_of
from workflows_app.problems import Conflict, Forbidden, Invalid, Problem

VERBS = ("resume", "fork")
ENDED = (CommandState.SUCCEEDED, CommandState.FAILED)


@require_http_methods(["GET", "POST"])
@page
def plan(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The choice of a verb and of the tasks to begin at; then the plan; then the button that does it."""
    workflow = access.workflow_for(request.user, workflow_id)
    if request.method == "POST":
        return _asked(request, workflow)
    chosen = request.GET.getlist("from")
    verb = request.GET.get("verb") or ("fork" if chosen else _usual(workflow))
    operation = _operation(workflow, request.GET.get("operation", ""))
    if operation is not None:
        verb, chosen = operation.payload["verb"], operation.payload["from_tasks"]
    context = {
        **shared(request, workflow, tab="workflow-plan"),
        "verb": verb if verb in VERBS else "resume",
        "chosen": chosen,
        "operation": operation,
        "is_open": operation is not None and operation.state not in ENDED,
        "parts": _parts(operation),
        "why_not": {
            "resume": rules.refusal(
                "resume", status=workflow.status, pending_command=workflow.pending_command
            ),
            "fork": _why_no_fork(workflow),
        },
    }
    return show(request, "pages/plan.html", context, live=topics(workflow))


def _asked(request: HttpRequest, workflow: Workflow) -> HttpResponseBase:
    """Ask the engine for a plan, or for the fork that was planned."""
    verb = request.POST.get("verb", "")
    if verb not in VERBS:
        raise Invalid(f"Choose what is planned: {' or '.join(VERBS)}.")
    texts = [line.strip() for line in request.POST.get("from", "").splitlines()]
    chosen = [text for text in texts if text] if verb == "fork" else []
    user = user_of(request)
    try:
        if "fork" in request.POST:
            made = services.fork(
                user,
                workflow,
                from_tasks=chosen,
                reason=request.POST.get("reason", "").strip()[:500],
                idempotency_key=request.POST.get("key") or None,
            )
            messages.success(request, f"Fork {made.workflow_id} requested.")
            return HttpResponseRedirect(reverse("workflow", args=[made.workflow_id]))
        operation = services.plan(user, workflow, verb, from_tasks=chosen)
        query = urlencode({"operation": str(operation.id)})
    except Forbidden:
        raise
    except Problem as problem:
        messages.error(request, problem.detail)
        query = urlencode({"verb": verb, "from": chosen}, doseq=True)
    return HttpResponseRedirect(f"{reverse('workflow-plan', args=[workflow.workflow_id])}?{query}")


def _usual(workflow: Workflow) -> str:
    return "resume" if workflow.status in ("FAILED", "RESUMABLE") else "fork"


def _why_no_fork(workflow: Workflow) -> str | None:
    try:
        services.forking.check_origin(workflow)
    except Conflict as problem:
        return problem.detail
    return None


def _operation(workflow: Workflow, text: str) -> Command | None:
    """The plan of this workflow with that id, if there is one."""
    try:
        key = UUID(text)
    except ValueError:
        return None
    return Command.objects.filter(
        pk=key, kind=CommandKind.PLAN, workflow_id=workflow.workflow_id
    ).first()


def _parts(operation: Command | None) -> list[dict[str, object]]:
    """The parts of a plan in the order in which they are read, with words for people."""
    result = (operation.result if operation is not None else None) or {}
    words = (
        ("blocked", "st-failed", "Missing", "These are needed and the storage does not have them."),
        ("run", "st-running", "Runs", "These tasks run, or run again."),
        ("reuse", "st-successful", "Reused", "The outcomes of these are kept; nothing runs."),
    )
    return [
        {"name": name, "css": css, "title": title, "help": explanation, **result[name]}
        for name, css, title, explanation in words
        if result.get(name) and (result[name]["count"] or name == "run")
    ]
