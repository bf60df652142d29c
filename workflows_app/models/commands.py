"""Tables of what people and programs asked for: commands and bulk operations."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class CommandKind(models.TextChoices):
    """What a command asks the engine to do."""

    LAUNCH = "launch", "Launch"
    CANCEL = "cancel", "Cancel"
    SUSPEND = "suspend", "Suspend"
    RESUME = "resume", "Resume"
    DELETE = "delete", "Delete"
    TELL = "tell", "Message"
    FORK = "fork", "Fork"
    PLAN = "plan", "Plan"


# Kinds that make the workflow which they name.
STARTS = (CommandKind.LAUNCH, CommandKind.FORK)
# Kinds of which any number may be under way, since they change no status.
SHARED = (CommandKind.TELL, CommandKind.PLAN)


class CommandState(models.TextChoices):
    """Where a command is; it moves to the right only."""

    QUEUED = "QUEUED", "Queued"
    RUNNING = "RUNNING", "Running"
    SUCCEEDED = "SUCCEEDED", "Succeeded"
    FAILED = "FAILED", "Failed"


class BulkState(models.TextChoices):
    """Where a bulk operation is."""

    QUEUED = "QUEUED", "Queued"
    RUNNING = "RUNNING", "Running"
    PAUSED = "PAUSED", "Paused"
    SUCCEEDED = "SUCCEEDED", "Succeeded"
    PARTIAL = "PARTIAL", "Partly done"
    FAILED = "FAILED", "Failed"
    ABORTED = "ABORTED", "Aborted"


class BulkItemState(models.TextChoices):
    """What became of one workflow of a bulk operation."""

    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    DONE = "done", "Done"
    SKIPPED = "skipped", "Skipped"
    FAILED = "failed", "Failed"


class BulkOperation(models.Model):
    """One verb for many workflows; the targets are frozen when it is created."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16, choices=CommandKind.choices)
    # How the targets were chosen, for people: {"ids": n} or {"query": "..."}, include_failed.
    selection = models.JSONField(default=dict)
    reason = models.TextField(default="", blank=True)
    state = models.CharField(max_length=16, choices=BulkState.choices, default=BulkState.QUEUED)
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    stop_after_failures = models.IntegerField(null=True)
    # Commands a second at most, and how many at a time.
    rate = models.FloatField(null=True)
    concurrency = models.IntegerField(null=True)
    # The next commands are not sent before this moment.
    not_before = models.DateTimeField(default=timezone.now)
    # The digest of the token that a preview was confirmed with.
    token = models.CharField(max_length=64, null=True, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    # True on the object that a repeated confirmation gets back.
    replayed = False

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["state", "created_at"], name="bulk_state"),
            models.Index(fields=["created_at"], name="bulk_created"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.total} workflows"


class BulkItem(models.Model):
    """One workflow of a bulk operation."""

    bulk = models.ForeignKey(BulkOperation, on_delete=models.CASCADE, related_name="items")
    workflow_id = models.TextField()
    state = models.CharField(
        max_length=16, choices=BulkItemState.choices, default=BulkItemState.WAITING
    )
    detail = models.TextField(default="", blank=True)
    command = models.OneToOneField(
        "Command", null=True, on_delete=models.SET_NULL, related_name="bulk_item"
    )

    class Meta:
        ordering = ["id"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["bulk", "workflow_id"], name="item_once_per_bulk")
        ]
        indexes = [models.Index(fields=["bulk", "state", "id"], name="item_state")]

    def __str__(self) -> str:
        return self.workflow_id


class Command(models.Model):
    """One request to the engine, with a state of its own. REST calls it an operation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16, choices=CommandKind.choices)
    workflow_id = models.TextField()
    payload = models.JSONField(default=dict)
    state = models.CharField(
        max_length=16, choices=CommandState.choices, default=CommandState.QUEUED
    )
    problem = models.JSONField(null=True)
    # What it found out, for those that ask something.
    result = models.JSONField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    bulk = models.ForeignKey(
        BulkOperation, null=True, on_delete=models.CASCADE, related_name="commands"
    )
    idempotency_key = models.CharField(max_length=128, null=True)
    request_fingerprint = models.CharField(max_length=64, default="")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    # Not dispatched (again) before this moment; set after a retryable problem.
    not_before = models.DateTimeField(default=timezone.now)

    # True on the object a repeated request with the same idempotency key gets back.
    replayed = False

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["workflow_id", "created_at"], name="command_workflow"),
            models.Index(fields=["created_at"], name="command_created"),
            models.Index(
                fields=["state", "not_before"],
                name="command_open",
                condition=models.Q(state__in=["QUEUED", "RUNNING"]),
            ),
        ]
        constraints = [
            # Two people asking at the same moment: one command per workflow is under way. A
            # launch may still be finishing when its workflow shows and is canceled.
            models.UniqueConstraint(
                fields=["workflow_id"],
                condition=models.Q(state__in=["QUEUED", "RUNNING"])
                & ~models.Q(kind__in=["launch", "fork", "tell", "plan"]),
                name="one_open_command_per_workflow",
            ),
            models.UniqueConstraint(
                fields=["workflow_id"],
                condition=models.Q(state__in=["QUEUED", "RUNNING"], kind__in=["launch", "fork"]),
                name="one_open_launch_per_workflow",
            ),
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                name="one_command_per_idempotency_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.workflow_id}"
