"""When each task ran: the bars of a Gantt chart."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.api.shapes import TASK_STATUSES
from workflows_app.keyset import Sort
from workflows_app.models import Task

BY_START = Sort("started_at")
MAX_BARS = 2_000
COLUMNS = (
    "task_id",
    "name",
    "status",
    "attempt",
    "started_at",
    "finished_at",
    "duration_ms",
    "node",
    "workflow_id",
)


class TimelineQuery(PageQuery):
    """How many bars at a time."""

    limit = serializers.IntegerField(min_value=1, max_value=MAX_BARS, default=MAX_BARS)


class BarSerializer(serializers.ModelSerializer[Task]):
    """The newest attempt of one task; without `finished_at` it still runs."""

    status = serializers.ChoiceField(choices=TASK_STATUSES)
    duration_ms = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Task
        fields = (
            "task_id",
            "name",
            "status",
            "attempt",
            "started_at",
            "finished_at",
            "duration_ms",
            "node",
        )
        read_only_fields = fields


class TimelinePage(serializers.Serializer[Any]):
    """Bars in order of start, and the moments between which the chart lies."""

    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    now = serializers.DateTimeField()
    tasks_total = serializers.IntegerField()
    items = BarSerializer(many=True)
    page = PageSerializer()


class WorkflowTimeline(ApiView):
    """The timeline of one workflow."""

    @extend_schema(tags=["tasks"], parameters=[TimelineQuery], responses=TimelinePage)
    def get(self, request: Request, workflow_id: str) -> Response:
        """Tasks that have started, in order of start."""
        query = read_query(request, TimelineQuery)
        workflow = lookup.find(request.user, workflow_id)
        rows = Task.objects.filter(workflow_id=workflow.pk, started_at__isnull=False)
        page = paginate(rows.only(*COLUMNS), BY_START, scope=f"timeline {workflow.pk}", query=query)
        body = {
            "started_at": workflow.started_at,
            "finished_at": workflow.finished_at,
            "now": timezone.now(),
            "tasks_total": workflow.tasks_total,
            **page.envelope(page.rows),
        }
        return Response(TimelinePage(body).data)
