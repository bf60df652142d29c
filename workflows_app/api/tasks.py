"""The tasks of a workflow and their attempts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import queries
from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.api.shapes import TASK_STATUSES, ErrorSerializer, Guarded, PreviewSerializer
from workflows_app.keyset import Sort
from workflows_app.models import Task, TaskAttempt, Workflow
from workflows_app.problems import NotFound

BY_ID = Sort("id")
HEAVY = ("upstream", "metadata", "options", "error", "preview")
# A gathering task may have every other task upstream, and a retried one very many attempts.
MAX_UPSTREAM = 500
MAX_ATTEMPTS = 100


class TaskQuery(PageQuery):
    """Filters of the task list."""

    status = serializers.ChoiceField(choices=TASK_STATUSES, required=False)
    name = serializers.CharField(max_length=500, required=False, help_text="The function's name.")


class TaskItemSerializer(serializers.ModelSerializer[Task]):
    """One row of the task list."""

    status = serializers.ChoiceField(choices=TASK_STATUSES)
    parent_task_id = serializers.CharField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Task
        fields: tuple[str, ...] = (
            "task_id",
            "name",
            "status",
            "attempt",
            "parent_task_id",
            "started_at",
            "finished_at",
            "duration_ms",
            "node",
            "pid",
        )
        read_only_fields = fields


class AttemptSerializer(Guarded, serializers.ModelSerializer[TaskAttempt]):
    """One try at running a task."""

    guarded = ("error",)
    status = serializers.CharField()
    error = ErrorSerializer(allow_null=True)

    class Meta:
        model = TaskAttempt
        fields = (
            "number",
            "status",
            "cause",
            "started_at",
            "finished_at",
            "error",
            "node",
            "pid",
        )
        read_only_fields = fields


class TaskSerializer(Guarded, TaskItemSerializer):
    """One task, whole."""

    guarded = ("error", "preview")
    upstream = serializers.SerializerMethodField(
        help_text=f"Ids of the tasks it takes values from, the first {MAX_UPSTREAM} of them."
    )
    upstream_total = serializers.SerializerMethodField()
    replaced_by = serializers.CharField(
        allow_null=True, help_text="The task whose result becomes this one's (a continuation)."
    )
    waits_for = serializers.CharField(
        help_text="`signal`, `approval`, `timer`, …: what its work is to wait for, if that is so."
    )
    reused_from = serializers.CharField(
        allow_null=True, help_text="In a fork: the workflow in which it ran."
    )
    metadata = serializers.DictField()
    options = serializers.DictField()
    error = ErrorSerializer(allow_null=True)
    preview = PreviewSerializer(allow_null=True)
    attempts = serializers.SerializerMethodField(
        help_text=f"The newest {MAX_ATTEMPTS}, oldest of these first."
    )

    class Meta(TaskItemSerializer.Meta):
        fields = (
            *TaskItemSerializer.Meta.fields,
            "upstream",
            "upstream_total",
            "reused_from",
            "waits_for",
            "waiting_since",
            "waiting_until",
            "replaced_by",
            "metadata",
            "options",
            "error",
            "preview",
            "attempts",
        )
        read_only_fields = fields

    def get_upstream(self, task: Task) -> list[str]:
        return list(task.upstream[:MAX_UPSTREAM])

    def get_upstream_total(self, task: Task) -> int:
        return len(task.upstream)

    def get_attempts(self, task: Task) -> list[dict[str, Any]]:
        newest = list(task.attempts.order_by("-number")[:MAX_ATTEMPTS])
        return list(AttemptSerializer(newest[::-1], many=True, context=self.context).data)


class TaskPage(serializers.Serializer[Any]):
    """A page of tasks."""

    items = TaskItemSerializer(many=True)
    page = PageSerializer()


class TaskList(ApiView):
    """The tasks of a workflow in the order they were made."""

    @extend_schema(tags=["tasks"], parameters=[TaskQuery], responses=TaskPage)
    def get(self, request: Request, workflow_id: str) -> Response:
        """List tasks, by status and name if asked."""
        query = read_query(request, TaskQuery)
        workflow = lookup.find(request.user, workflow_id)
        filters = {name: query[name] for name in ("status", "name") if name in query}
        rows = Task.objects.filter(workflow_id=workflow.pk, **filters).defer(*HEAVY)
        page = paginate(rows, BY_ID, scope=f"tasks {workflow.pk}", query=query)
        return Response(page.envelope(TaskItemSerializer(page.rows, many=True).data))


class GroupNumbersSerializer(serializers.Serializer[Any]):
    """How far the tasks of one name are, and how long they take."""

    total = serializers.IntegerField()
    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    successful = serializers.IntegerField()
    failed = serializers.IntegerField()
    canceled = serializers.IntegerField()
    most_attempts = serializers.IntegerField()
    p50_ms = serializers.IntegerField(allow_null=True)
    p95_ms = serializers.IntegerField(allow_null=True)


class TaskGroupSerializer(GroupNumbersSerializer):
    """The tasks of one name."""

    name = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class TaskGroupsSerializer(serializers.Serializer[Any]):
    """All of them, in the order in which the names first appeared."""

    items = TaskGroupSerializer(many=True)


class TaskGroups(ApiView):
    """Progress by task name."""

    @extend_schema(tags=["tasks"], responses=TaskGroupsSerializer)
    def get(self, request: Request, workflow_id: str) -> Response:
        """How far the tasks of each name are, and how long they take (median, 95th percentile)."""
        read_query(request, serializers.Serializer)
        workflow = lookup.find(request.user, workflow_id)
        groups = queries.task_groups(workflow)
        return Response(TaskGroupsSerializer({"items": groups}).data)


class TaskDetail(ApiView):
    """One task with its attempts."""

    @extend_schema(tags=["tasks"], responses=TaskSerializer)
    def get(self, request: Request, workflow_id: str, task_id: str) -> Response:
        """One task: timing, error with traceback, preview of its value, attempts."""
        workflow = lookup.find(request.user, workflow_id)
        task = task_of(workflow, task_id)
        return Response(TaskSerializer(task, context=self.shown()).data)


def task_of(workflow: Workflow, task_id: str) -> Task:
    """The task, or `NotFound` naming both ids."""
    task = Task.objects.filter(workflow_id=workflow.pk, task_id=task_id).first()
    if task is None:
        raise NotFound(
            f"Workflow {workflow.workflow_id!r} has no task {task_id!r}; "
            "its tasks/ list shows those it has."
        )
    return task
