"""Pieces of answers that several resources share, and how a command and a workflow read in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from workflows_app.models import Command, Workflow

STATUSES = ("PENDING", "RUNNING", "SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED")
TASK_STATUSES = ("PENDING", "RUNNING", "SUCCESSFUL", "FAILED", "CANCELED")
TERMINAL = frozenset({"SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED"})


class ErrorSerializer(serializers.Serializer[Any]):
    """Why something failed, as the worker described it."""

    type = serializers.CharField()
    message = serializers.CharField()
    traceback = serializers.CharField(required=False)
    task_id = serializers.CharField(required=False, allow_null=True)


class TaskCountsSerializer(serializers.Serializer[Workflow]):
    """How many tasks of a workflow are in which status."""

    total = serializers.IntegerField(source="tasks_total")
    pending = serializers.IntegerField(source="tasks_pending")
    running = serializers.IntegerField(source="tasks_running")
    successful = serializers.IntegerField(source="tasks_successful")
    failed = serializers.IntegerField(source="tasks_failed")
    canceled = serializers.IntegerField(source="tasks_canceled")


class WorkflowSerializer(serializers.ModelSerializer[Workflow]):
    """One workflow, whole."""

    status = serializers.ChoiceField(choices=STATUSES)
    tasks = TaskCountsSerializer(source="*")
    error = ErrorSerializer(allow_null=True)
    params = serializers.DictField(allow_null=True)
    user_metadata = serializers.DictField()
    tags = serializers.DictField()
    duration_ms = serializers.IntegerField(allow_null=True)
    event_seq = serializers.IntegerField(help_text="Sequence number of the newest event.")
    pending_command = serializers.CharField(
        allow_null=True, help_text="A command that was accepted and has not taken effect yet."
    )

    class Meta:
        model = Workflow
        fields = (
            "workflow_id",
            "status",
            "definition",
            "params",
            "user_metadata",
            "tags",
            "created_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "tasks",
            "error",
            "pending_command",
            "event_seq",
        )
        read_only_fields = fields


class OperationSerializer(serializers.ModelSerializer[Command]):
    """A command: what was asked for, and how far it is."""

    state = serializers.ChoiceField(choices=("QUEUED", "RUNNING", "SUCCEEDED", "FAILED"))
    kind = serializers.ChoiceField(choices=("launch", "cancel", "resume", "delete"))
    problem = serializers.DictField(
        allow_null=True, help_text="Why it failed: a problem as in every error answer."
    )

    class Meta:
        model = Command
        fields = (
            "id",
            "kind",
            "workflow_id",
            "state",
            "problem",
            "attempts",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class AcceptedSerializer(serializers.Serializer[Any]):
    """What every accepted command answers; `Location` points to the operation."""

    operation = OperationSerializer()


class PreviewSerializer(serializers.Serializer[Any]):
    """A bounded description of a value, written by the worker that produced it."""

    type = serializers.CharField()
    size = serializers.IntegerField(allow_null=True, help_text="Bytes of the stored value.")
    shape = serializers.ListField(child=serializers.IntegerField(), allow_null=True)
    text = serializers.CharField(allow_null=True)
    json = serializers.JSONField(allow_null=True)
    table = serializers.DictField(allow_null=True)
    truncated = serializers.BooleanField()
