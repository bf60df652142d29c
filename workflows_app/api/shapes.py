"""Pieces of answers that several resources share: how a workflow and a command read."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from workflows_app.models import Command, CommandKind, Workflow, WorkflowStatus

STATUSES = tuple(WorkflowStatus.values)
# Only a whole workflow can wait for someone to resume it.
TASK_STATUSES = tuple(name for name in STATUSES if name != "RESUMABLE")
TERMINAL = frozenset({"SUCCESSFUL", "FAILED", "RESUMABLE", "CANCELED"})
HIDDEN = "Hidden: this needs the permission 'view_payload'."


class Guarded(serializers.Serializer[Any]):
    """Leaves out what the workers produced unless the reader may see values.

    The context says so with `payload=True`; a serializer used without saying anything hides.
    """

    guarded: ClassVar[tuple[str, ...]] = ()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(instance)
        if self.context.get("payload", False):
            return data
        for name in self.guarded:
            data[name] = _hidden(data[name]) if name == "error" else None
        return data


def _hidden(error: Any) -> dict[str, Any] | None:
    """That something failed may be seen, and with which type; its message may hold values."""
    return {"type": error["type"], "message": HIDDEN} if error else None


class ErrorSerializer(serializers.Serializer[Any]):
    """Why something failed, as the worker described it.

    Another process wrote it, so nothing of it is taken for granted.
    """

    type = serializers.CharField(default="")
    message = serializers.CharField(default="")
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


class WorkflowSerializer(Guarded, serializers.ModelSerializer[Workflow]):
    """One workflow, whole."""

    guarded = ("params", "error")
    status = serializers.ChoiceField(choices=STATUSES)
    tasks = TaskCountsSerializer(source="*")
    error = ErrorSerializer(allow_null=True)
    params = serializers.DictField(allow_null=True)
    user_metadata = serializers.DictField()
    tags = serializers.DictField()
    duration_ms = serializers.IntegerField(allow_null=True)
    actor = serializers.CharField(
        allow_null=True, help_text="The class of a virtual actor, whose tasks are its calls."
    )
    event_seq = serializers.IntegerField(help_text="Sequence number of the newest event.")
    pending_command = serializers.CharField(
        allow_null=True, help_text="A command that was accepted and has not taken effect yet."
    )
    failure_group = serializers.CharField(help_text="Of a failure: the fingerprint of its group.")
    resolved = serializers.BooleanField(help_text="Of a failure: that it needs nobody any more.")
    forked_from = serializers.CharField(allow_null=True)
    superseded_by = serializers.CharField(
        allow_null=True, help_text="The latest fork of it that has succeeded."
    )

    class Meta:
        model = Workflow
        fields = (
            "workflow_id",
            "status",
            "definition",
            "actor",
            "params",
            "user_metadata",
            "tags",
            "created_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "tasks",
            "error",
            "failure_group",
            "resolved",
            "forked_from",
            "superseded_by",
            "pending_command",
            "event_seq",
        )
        read_only_fields = fields


class OperationSerializer(serializers.ModelSerializer[Command]):
    """A command: what was asked for, and how far it is."""

    state = serializers.ChoiceField(choices=("QUEUED", "RUNNING", "SUCCEEDED", "FAILED"))
    kind = serializers.ChoiceField(choices=CommandKind.values)
    problem = serializers.DictField(
        allow_null=True, help_text="Why it failed: a problem as in every error answer."
    )
    result = serializers.DictField(
        allow_null=True,
        help_text="Of a plan: `reuse`, `run` and `blocked`, each `count`, `items`, `truncated`.",
    )

    class Meta:
        model = Command
        fields = (
            "id",
            "kind",
            "workflow_id",
            "state",
            "problem",
            "result",
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

    type = serializers.CharField(default="")
    size = serializers.IntegerField(allow_null=True, help_text="Bytes of the stored value.")
    shape = serializers.ListField(child=serializers.IntegerField(), allow_null=True)
    text = serializers.CharField(allow_null=True)
    json = serializers.JSONField(allow_null=True)
    table = serializers.DictField(allow_null=True)
    image = serializers.DictField(
        allow_null=True, default=None, help_text="A picture: `type`, and `data` in base64."
    )
    truncated = serializers.BooleanField(default=False)
