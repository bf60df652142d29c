"""``/approvals/``: what waits for somebody's answer, and the form that answers it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from workflows_app import access, approvals, keyset, services
from workflows_app.models import Command, CommandKind, CommandState, Task
from workflows_app.pages import schema_values
from workflows_app.pages.rendering import page, show, topic, user_of
from workflows_app.pages.schema_fields import fields_of
from workflows_app.pages.workflows import permissions
from workflows_app.problems import Conflict, Forbidden
from workflows_app.services.launching import mistakes_in

SIZE = 50
OLDEST_FIRST = keyset.Sort("waiting_since")
UNDER_WAY = (CommandState.QUEUED, CommandState.RUNNING)


@require_GET
@page
def approval_list(request: HttpRequest) -> HttpResponseBase:
    """The inbox, the oldest first; what has an answer already says so until the engine has recorded it."""
    found = keyset.paged(
        approvals.open_approvals(request.user),
        OLDEST_FIRST,
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    sent = _sent([task.workflow.workflow_id for task in found.rows])
    rows = [
        {
            "task": task,
            "title": approvals.wait_of(task).get("title") or task.task_id,
            "assignees": approvals.assignees_of(task),
            "may_answer": approvals.may_answer(request.user, task),
            "is_sent": (task.workflow.workflow_id, task.task_id) in sent,
        }
        for task in found.rows
    ]
    return show(
        request, "pages/approvals.html", {"found": found, "rows": rows}, live=[topic("overview")]
    )


@require_http_methods(["GET", "POST"])
@page
def answer(request: HttpRequest, workflow_id: str, task_id: str) -> HttpResponseBase:
    """The question with the form of its answer; on POST, the answer."""
    access.require(request.user, access.PERMISSION_OF_KIND[CommandKind.TELL])
    task = _asking(request, workflow_id, task_id)
    if request.method == "GET":
        return _show(request, task, values={}, errors=[])
    if not approvals.may_answer(request.user, task):
        names = ", ".join(approvals.assignees_of(task))
        raise Forbidden(f"This is for {names} to answer.")
    approved = request.POST.get("decision") == "approve"
    values, errors = _values(request, task) if approved else ({}, [])
    if errors:
        return _show(request, task, values=values, errors=errors, status=400)
    services.tell(
        user_of(request),
        task.workflow,
        "approval",
        task_id,
        {"approved": approved, "answer": values.get("answer")},
        idempotency_key=request.POST.get("key") or None,
    )
    word = "Approval" if approved else "Rejection"
    messages.success(request, f"{word} of {task_id} in {workflow_id} sent.")
    return HttpResponseRedirect(reverse("approvals"))


def _asking(request: HttpRequest, workflow_id: str, task_id: str) -> Task:
    workflow = access.workflow_for(request.user, workflow_id)
    asking = approvals.open_approvals(request.user)
    task = asking.filter(workflow=workflow, task_id=task_id).first()
    if task is None:
        raise Conflict(
            f"Task {task_id!r} of workflow {workflow_id!r} asks for no answer now: it has been answered, its"
            " time is over, or the workflow does not run. The task's page shows its value."
        )
    return task


def _schema(task: Task) -> dict[str, Any]:
    """The schema of the form: the answer is a member, so that it may be of any type."""
    wanted = approvals.wait_of(task).get("schema")
    if not isinstance(wanted, dict):
        return {"type": "object", "properties": {}}
    definitions = wanted.get("$defs")
    labelled = {"title": "Answer", **{k: v for k, v in wanted.items() if k != "$defs"}}
    schema = {"type": "object", "properties": {"answer": labelled}, "required": ["answer"]}
    return schema | ({"$defs": definitions} if definitions else {})


def _values(request: HttpRequest, task: Task) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    schema = _schema(task)
    parsed = schema_values.parse(fields_of(schema), request.POST)
    return parsed.params, list(parsed.errors) or mistakes_in(schema, parsed.params)


def _show(
    request: HttpRequest,
    task: Task,
    *,
    values: dict[str, Any],
    errors: list[dict[str, Any]],
    status: int = 200,
) -> HttpResponseBase:
    fields = fields_of(_schema(task))
    raw = request.POST if request.method == "POST" else None
    context = {
        "task": task,
        "workflow": task.workflow,
        "title": approvals.wait_of(task).get("title") or task.task_id,
        "assignees": approvals.assignees_of(task),
        "may_answer": approvals.may_answer(request.user, task),
        "rows": schema_values.rows(
            fields, values or schema_values.defaults(fields), errors=errors, raw=raw
        ),
        "general_errors": list(schema_values.with_general_errors(errors, fields)),
        "refused": _last_refusal(task),
        "key": uuid.uuid4().hex,
        "may": permissions(request),
    }
    return show(request, "pages/answer.html", context, status=status)


def _last_refusal(task: Task) -> Command | None:
    """The latest answer, if the engine has refused it."""
    sent = Command.objects.filter(
        kind=CommandKind.TELL, workflow_id=task.workflow.workflow_id, payload__name=task.task_id
    )
    last = sent.order_by("-created_at").first()
    return last if last is not None and last.state == CommandState.FAILED else None


def _sent(workflow_ids: list[str]) -> set[tuple[str, str]]:
    commands = Command.objects.filter(
        kind=CommandKind.TELL, workflow_id__in=workflow_ids, state__in=UNDER_WAY
    )
    return {
        (command.workflow_id, command.payload.get("name", ""))
        for command in commands.order_by()[: 4 * SIZE]
    }
