"""What waits for somebody's answer: read by API and pages alike."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from workflows_app import access
from workflows_app.models import Task, WorkflowStatus


def open_approvals(user: access.Actor) -> QuerySet[Task]:
    """The tasks that ask for an answer, of running workflows that ``user`` may see, each with its workflow."""
    return Task.objects.filter(
        waits_for="approval",
        waiting_since__isnull=False,
        workflow__in=access.workflows_for(user).filter(status=WorkflowStatus.RUNNING),
    ).select_related("workflow")


def wait_of(task: Task) -> dict[str, Any]:
    """What a task asks: ``title``, ``schema`` of the answer, ``assignees``; of a broken journal, nothing."""
    found = task.options.get("wait")
    return found if isinstance(found, dict) else {}


def assignees_of(task: Task) -> list[str]:
    """Who may answer; everybody if empty."""
    return [str(name) for name in wait_of(task).get("assignees") or ()]


def may_answer(user: access.Actor, task: Task) -> bool:
    """Whether an answer of this account counts."""
    names = assignees_of(task)
    return access.can(user, "signal_workflow") and (not names or user.get_username() in names)
