"""Values as they are stored, for who may take them away. They are never decoded here."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from workflows_app import services
from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.exports import streamed
from workflows_app.api.tasks import task_of
from workflows_app.gateway import gateway
from workflows_app.models import Task, Workflow
from workflows_app.problems import Conflict

# The media type and the ending of a file, by the format of the value.
KINDS = {
    "json": ("application/json", "json"),
    "arrow-table": ("application/vnd.apache.arrow.stream", "arrows"),
    "arrow-batch": ("application/vnd.apache.arrow.stream", "arrows"),
    "pandas": ("application/vnd.apache.arrow.stream", "arrows"),
    "pandas-series": ("application/vnd.apache.arrow.stream", "arrows"),
    "polars": ("application/vnd.apache.arrow.stream", "arrows"),
    "polars-series": ("application/vnd.apache.arrow.stream", "arrows"),
    "numpy": ("application/octet-stream", "npy"),
}
OTHER = ("application/octet-stream", "bin")
LONGEST_CHAIN = 10_000
FILE_SCHEMA = {
    (200, kind): OpenApiResponse(
        OpenApiTypes.BINARY, "The bytes; `X-RayFlow-Format` says how to read them."
    )
    for kind in sorted({kind for kind, _ in (*KINDS.values(), OTHER)})
}


class Download(ApiView):
    """A value as a file."""

    permission: ClassVar[str | None] = "download_payload"

    def send(self, request: Request, workflow: Workflow, task: Task) -> StreamingHttpResponse:
        """The answer; it is noted who took what."""
        found = gateway().value(workflow.workflow_id, _end_of_chain(task).task_id)
        services.note_export(
            self.caller, workflow.workflow_id, found.format, request.get_full_path()
        )
        kind, ending = KINDS.get(found.format, OTHER)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{workflow.workflow_id}-{task.task_id}")[:150]
        more = {"Content-Length": str(found.size), "X-RayFlow-Format": found.format}
        return streamed(request, found.parts, kind, f"{name}.{ending}", more)


class OutputDownload(Download):
    """The output of a workflow as a file."""

    @extend_schema(tags=["workflows"], responses=FILE_SCHEMA)
    def get(self, request: Request, workflow_id: str) -> StreamingHttpResponse:
        """The output of a workflow as it is stored: Arrow, NumPy, JSON or a pickle, never decoded."""
        read_query(request, serializers.Serializer)
        workflow = lookup.find_to_change(self.caller, workflow_id)
        if workflow.actor is not None or workflow.status != "SUCCESSFUL":
            raise Conflict(
                f"Workflow {workflow_id!r} is {workflow.status}; only a SUCCESSFUL one that is no virtual actor"
                " has an output to download.",
                extra={"current": {"status": workflow.status}},
            )
        return self.send(request, workflow, task_of(workflow, workflow.root_task_id))


class TaskDownload(Download):
    """The value of a task as a file."""

    @extend_schema(tags=["tasks"], responses=FILE_SCHEMA)
    def get(self, request: Request, workflow_id: str, task_id: str) -> StreamingHttpResponse:
        """The value of a task as it is stored: Arrow, NumPy, JSON or a pickle, never decoded."""
        read_query(request, serializers.Serializer)
        workflow = lookup.find_to_change(self.caller, workflow_id)
        return self.send(request, workflow, task_of(workflow, task_id))


def _end_of_chain(task: Task) -> Task:
    """The task whose value is that of ``task``: it may have continued as a graph."""
    for _ in range(LONGEST_CHAIN):
        if task.replaced_by is None:
            break
        following: Any = Task.objects.filter(workflow=task.workflow_id, task_id=task.replaced_by)
        found = following.first()
        if found is None:
            break
        task = found
    return task
