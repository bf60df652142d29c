"""``/workflows/{id}/``: the summary of one workflow, and what its other tabs share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, dead_ends, progress, queries, rules
from workflows_app.models import (
    STARTS,
    Command,
    CommandKind,
    CommandState,
    Workflow,
    WorkflowStatus,
)
from workflows_app.pages.rendering import page, show, topic
from workflows_app.pages.workflows import permissions
from workflows_app.problems import NotFound

TABS = (
    ("workflow", "Summary"),
    ("workflow-tasks", "Tasks"),
    ("workflow-graph", "Graph"),
    ("workflow-timeline", "Timeline"),
    ("workflow-events", "Events"),
    ("workflow-logs", "Logs"),
    ("workflow-plan", "Plan"),
)
MOST_GROUPS = 200


@require_GET
@page
def summary(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """The summary tab; for an id that was only just asked for, the state of that request."""
    try:
        workflow = access.workflow_for(request.user, workflow_id)
    except NotFound:
        launching = _launch_of(workflow_id)
        if launching is None:
            raise
        return _show_launching(request, launching)
    groups = queries.task_groups(workflow)
    context = {
        **shared(request, workflow, tab="workflow"),
        "groups": groups[:MOST_GROUPS],
        "hidden_groups": max(0, len(groups) - MOST_GROUPS),
        "estimate": progress.estimate(workflow, groups, now=timezone.now()),
        "unmet": dead_ends.unmet(workflow, groups),
        "last_failure": _last_failure(workflow),
    }
    return show(request, "pages/workflow.html", context, live=topics(workflow, tasks=True))


def shared(request: HttpRequest, workflow: Workflow, *, tab: str) -> dict[str, Any]:
    """Header, tabs and actions: the same on every tab of a workflow."""
    may = permissions(request)
    possible = rules.actions(workflow.status, workflow.pending_command)
    return {
        "workflow": workflow,
        "tabs": TABS,
        "tab": tab,
        "may": may,
        "actions": {kind: True for kind in possible if may[kind]},
        "has_failed": workflow.status in (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE),
        "shares": {
            name: getattr(workflow, f"tasks_{name}")
            for name in ("total", "pending", "running", "successful", "failed", "canceled")
        },
    }


def topics(workflow: Workflow, *, tasks: bool = False) -> list[Any]:
    """What the page of a workflow listens to."""
    wanted = [topic(f"workflow:{workflow.workflow_id}", after=workflow.event_seq)]
    if tasks:
        wanted.append(topic(f"tasks:{workflow.workflow_id}", after=workflow.event_seq))
    return wanted


def _last_failure(workflow: Workflow) -> Command | None:
    """The most recent command, if the engine refused it and nothing was asked since."""
    last = Command.objects.filter(workflow_id=workflow.workflow_id).order_by("-created_at").first()
    if last is None or last.state != CommandState.FAILED:
        return None
    return last


def _launch_of(workflow_id: str) -> Command | None:
    return (
        Command.objects.filter(workflow_id=workflow_id, kind__in=STARTS)
        .order_by("-created_at")
        .first()
    )


def _show_launching(request: HttpRequest, command: Command) -> HttpResponseBase:
    """The time between "asked for" and "in the registry", or why it never gets there."""
    gone = command.state == CommandState.SUCCEEDED and command.finished_at is not None
    if gone and _was_deleted(command):
        raise NotFound(
            f"The workflow {command.workflow_id!r} existed and has been deleted."
            " The list shows the workflows that exist."
        )
    status = 200 if command.state != CommandState.FAILED else 409
    return show(
        request,
        "pages/launching.html",
        {"command": command},
        live=[topic(f"workflow:{command.workflow_id}")],
        status=status,
    )


def _was_deleted(launch: Command) -> bool:
    return Command.objects.filter(
        workflow_id=launch.workflow_id,
        kind=CommandKind.DELETE,
        state=CommandState.SUCCEEDED,
        created_at__gt=launch.created_at,
    ).exists()
