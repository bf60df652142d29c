"""Tables of schedules and of what became of each of their times."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.timezone import now


class Overlap(models.TextChoices):
    """What happens at a time at which an earlier run has not ended."""

    SKIP = "skip", "Skip it"
    QUEUE = "queue", "Wait until it has ended"
    CANCEL_OTHER = "cancel_other", "Cancel the earlier run"
    ALLOW = "allow", "Run beside it"


class RunState(models.TextChoices):
    """What became of one time of a schedule."""

    QUEUED = "queued", "Waits for an earlier run"
    LAUNCHED = "launched", "Launched"
    SKIPPED = "skipped", "Skipped"
    MISSED = "missed", "Missed"
    FAILED = "failed", "Could not be launched"


class Schedule(models.Model):
    """A definition that is launched at certain times. Exactly one of `cron` and `every_seconds` is set."""

    name = models.CharField(max_length=100, unique=True)
    definition = models.TextField()
    params = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    cron = models.CharField(max_length=200, default="", blank=True)
    every_seconds = models.IntegerField(null=True)
    timezone = models.CharField(max_length=64, default="UTC")
    overlap = models.CharField(max_length=16, choices=Overlap.choices, default=Overlap.SKIP)
    # A time that could not be kept for longer than this is missed.
    catch_up_seconds = models.IntegerField(default=600)
    jitter_seconds = models.IntegerField(default=0)
    paused = models.BooleanField(default=False)
    pause_reason = models.TextField(default="", blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=now)
    # The next time by the rule, and when it is acted on: later by its jitter.
    next_due_at = models.DateTimeField(null=True)
    next_run_at = models.DateTimeField(null=True)
    last_run_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)
        permissions = [("manage_schedule", "Can make, change and trigger schedules")]
        indexes = [
            models.Index(
                fields=["next_run_at"],
                name="schedule_due",
                condition=models.Q(paused=False),
            )
        ]

    def __str__(self) -> str:
        return self.name


class ScheduleRun(models.Model):
    """One time of a schedule, recorded once, whoever looks however often."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="runs")
    due_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=RunState.choices)
    detail = models.TextField(default="", blank=True)
    workflow_id = models.TextField(default="", blank=True)
    command = models.ForeignKey(
        "Command", null=True, on_delete=models.SET_NULL, related_name="schedule_runs"
    )
    # "time", "trigger" or "backfill".
    origin = models.CharField(max_length=16, default="time")

    class Meta:
        ordering = ["-due_at"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["schedule", "due_at"], name="run_once_per_time")
        ]
        indexes = [models.Index(fields=["state", "due_at"], name="run_state")]

    def __str__(self) -> str:
        return f"{self.due_at:%Y-%m-%d %H:%M:%S} {self.state}"
