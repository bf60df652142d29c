"""Tables about failures: what failed alike, and what people say of it."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class FailureGroup(models.Model):
    """Unresolved workflows that failed alike, counted as they change; written with the workflows' rows."""

    fingerprint = models.CharField(max_length=16, unique=True)
    error_type = models.TextField()
    # The message that all of them share; what differs between them is left out.
    message = models.TextField()
    place = models.TextField(default="", blank=True)
    workflows = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-workflows", "id"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["workflows", "id"], name="failure_size")]

    def __str__(self) -> str:
        return f"{self.error_type}: {self.message[:80]}"


class FailureTriage(models.Model):
    """What people say of a group of failures."""

    class State(models.TextChoices):
        """What is to be done about it."""

        OPEN = "open", "Open"
        RESOLVED = "resolved", "Resolved"
        IGNORED = "ignored", "Ignored"

    fingerprint = models.CharField(max_length=16, primary_key=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    assignee = models.TextField(default="", blank=True)
    note = models.TextField(default="", blank=True)
    revision = models.IntegerField(default=1)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.TextField(default="")

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.state}"


class Resolution(models.Model):
    """Somebody has said that a failure needs nobody any more. It holds for that failure, not for the next."""

    workflow_id = models.TextField(unique=True)
    status_seq = models.BigIntegerField()
    note = models.TextField(default="", blank=True)
    resolved_at = models.DateTimeField(default=timezone.now)
    resolved_by = models.TextField(default="")

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.workflow_id
