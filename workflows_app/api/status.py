"""A workflow's status, small enough to ask for often, and worth waiting for."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.shapes import STATUSES, TERMINAL, TaskCountsSerializer
from workflows_app.api.waiting import MAX_WAIT_SECONDS, Patient
from workflows_app.models import Workflow
from workflows_app.problems import NotFound

COLUMNS = (
    "workflow_id",
    "status",
    "pending_command",
    "event_seq",
    "tasks_total",
    "tasks_pending",
    "tasks_running",
    "tasks_successful",
    "tasks_failed",
    "tasks_canceled",
)


class StatusQuery(serializers.Serializer[Any]):
    """How long to wait, and for what."""

    wait = serializers.FloatField(
        min_value=0,
        default=0,
        help_text=f"Seconds to wait at most; more than {MAX_WAIT_SECONDS} counts as that many.",
    )
    until = serializers.ChoiceField(
        choices=["terminal", "change"],
        default="terminal",
        help_text="`terminal`: finished, with no command outstanding. `change`: any new event.",
    )


class StatusSerializer(serializers.ModelSerializer[Workflow]):
    """Where a workflow is."""

    status = serializers.ChoiceField(choices=STATUSES)
    tasks = TaskCountsSerializer(source="*")
    pending_command = serializers.CharField(allow_null=True)
    event_seq = serializers.IntegerField()

    class Meta:
        model = Workflow
        fields = ("workflow_id", "status", "pending_command", "event_seq", "tasks")
        read_only_fields = fields


class WorkflowStatusView(ApiView):
    """The status of one workflow, at once or when it has changed."""

    @extend_schema(tags=["workflows"], parameters=[StatusQuery], responses=StatusSerializer)
    def get(self, request: Request, workflow_id: str) -> Response:
        """Status, counters and outstanding command; `wait` turns the call into a long-poll."""
        query = read_query(request, StatusQuery)
        workflow = lookup.find(request.user, workflow_id)
        first = dict(StatusSerializer(workflow).data)
        return Patient(
            first,
            look=lambda: _read(request.user, workflow_id),
            is_over=is_settled if query["until"] == "terminal" else lambda now: now != first,
            seconds=query["wait"],
        )


def is_settled(data: dict[str, Any]) -> bool:
    """Finished, and nothing that was asked for is still under way."""
    return data["status"] in TERMINAL and data["pending_command"] is None


def _read(user: Any, workflow_id: str) -> dict[str, Any] | None:
    workflow = Workflow.objects.only(*COLUMNS).filter(workflow_id=workflow_id).first()
    try:
        return dict(StatusSerializer(workflow or lookup.find(user, workflow_id)).data)
    except NotFound:
        return None
