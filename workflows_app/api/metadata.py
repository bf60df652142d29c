"""Metadata in the shape that `ray.workflow.get_metadata` had, for scripts that read it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api import lookup
from workflows_app.api.base import ApiView
from workflows_app.api.shapes import STATUSES
from workflows_app.api.tasks import task_of
from workflows_app.models import Task, Workflow


class StatsSerializer(serializers.Serializer[Any]):
    """Unix seconds; a moment that has not come yet is left out."""

    start_time = serializers.FloatField(required=False)
    end_time = serializers.FloatField(required=False)


class WorkflowMetadataReportSerializer(serializers.Serializer[Any]):
    """`get_metadata(workflow_id)`."""

    status = serializers.ChoiceField(choices=STATUSES)
    user_metadata = serializers.DictField()
    stats = StatsSerializer()


class TaskMetadataReportSerializer(serializers.Serializer[Any]):
    """`get_metadata(workflow_id, task_id)`."""

    task_id = serializers.CharField()
    name = serializers.CharField()
    task_options = serializers.DictField()
    user_metadata = serializers.DictField()
    workflow_refs = serializers.ListField(child=serializers.CharField())
    stats = StatsSerializer()


class WorkflowMetadata(ApiView):
    """The old library's metadata of a workflow."""

    @extend_schema(tags=["metadata"], responses=WorkflowMetadataReportSerializer)
    def get(self, request: Request, workflow_id: str) -> Response:
        """Status, the user's own metadata, start and end."""
        return Response(of_workflow(lookup.find(request.user, workflow_id)))


class TaskMetadata(ApiView):
    """The old library's metadata of a task."""

    @extend_schema(tags=["metadata"], responses=TaskMetadataReportSerializer)
    def get(self, request: Request, workflow_id: str, task_id: str) -> Response:
        """Options, the user's own metadata, upstream tasks, start and end."""
        workflow = lookup.find(request.user, workflow_id)
        return Response(of_task(task_of(workflow, task_id)))


def of_workflow(workflow: Workflow) -> dict[str, Any]:
    """The workflow-level document."""
    return {
        "status": workflow.status,
        "user_metadata": workflow.user_metadata,
        "stats": _stats(workflow.started_at, workflow.finished_at),
    }


def of_task(task: Task) -> dict[str, Any]:
    """The task-level document; `ray_options` is spelt as it was."""
    options = {"task_type": "FUNCTION", **task.options}
    options["ray_options"] = options.pop("ray", options.get("ray_options", {}))
    return {
        "task_id": task.task_id,
        "name": task.name,
        "task_options": options,
        "user_metadata": task.metadata,
        "workflow_refs": task.upstream,
        "stats": _stats(task.started_at, task.finished_at),
    }


def _stats(start: datetime | None, end: datetime | None) -> dict[str, float]:
    moments = {"start_time": start, "end_time": end}
    return {name: moment.timestamp() for name, moment in moments.items() if moment is not None}
