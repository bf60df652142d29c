"""What waits for somebody's answer, in all workflows."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.approvals import assignees_of, open_approvals, wait_of
from workflows_app.keyset import Sort
from workflows_app.models import Task

OLDEST_FIRST = Sort("waiting_since")


class ApprovalSerializer(serializers.ModelSerializer[Task]):
    """An approval that a task asks for."""

    workflow_id = serializers.CharField(source="workflow.workflow_id")
    definition = serializers.CharField(source="workflow.definition", allow_null=True)
    title = serializers.SerializerMethodField(help_text="What is asked.")
    schema = serializers.SerializerMethodField(
        help_text="JSON Schema of the answer's payload, if any."
    )
    assignees = serializers.SerializerMethodField(help_text="Who may answer; everybody if empty.")
    asked_at = serializers.DateTimeField(source="waiting_since")
    deadline = serializers.DateTimeField(source="waiting_until", allow_null=True)
    answer = serializers.SerializerMethodField(help_text="Where to send the answer.")

    class Meta:
        model = Task
        fields = (
            "workflow_id", "task_id", "definition", "title", "schema", "assignees", "asked_at", "deadline",
            "answer",
        )  # fmt: skip
        read_only_fields = fields

    def get_title(self, task: Task) -> str:
        return str(wait_of(task).get("title", ""))

    def get_schema(self, task: Task) -> dict[str, Any] | None:
        return wait_of(task).get("schema")

    def get_assignees(self, task: Task) -> list[str]:
        return assignees_of(task)

    def get_answer(self, task: Task) -> str:
        return reverse("api:answer", args=[task.workflow.workflow_id, task.task_id])


class ApprovalPage(serializers.Serializer[Any]):
    """A page of approvals."""

    items = ApprovalSerializer(many=True)
    page = PageSerializer()


class ApprovalList(ApiView):
    """The approvals that are open."""

    @extend_schema(tags=["workflows"], parameters=[PageQuery], responses=ApprovalPage)
    def get(self, request: Request) -> Response:
        """List what waits for an answer, the oldest first; answer with `POST` to its `answer`."""
        query = read_query(request, PageQuery)
        rows = open_approvals(self.caller)
        page = paginate(rows, OLDEST_FIRST, scope="approvals", query=query)
        items = ApprovalSerializer(page.rows, many=True).data
        return Response(page.envelope(items))
