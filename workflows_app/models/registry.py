"""Tables that mirror the journals, the catalogue of definitions and the follower's state."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class WorkflowStatus(models.TextChoices):
    """Status of a workflow; tasks and attempts use the same words, RESUMABLE excepted."""

    PENDING = "PENDING", "Pending"
    RUNNING = "RUNNING", "Running"
    SUCCESSFUL = "SUCCESSFUL", "Successful"
    FAILED = "FAILED", "Failed"
    RESUMABLE = "RESUMABLE", "Resumable"
    CANCELED = "CANCELED", "Canceled"


class Workflow(models.Model):
    """One durable execution of a DAG, as its journal tells it up to record `event_seq`."""

    workflow_id = models.TextField(unique=True)
    status = models.CharField(
        max_length=16, choices=WorkflowStatus.choices, default=WorkflowStatus.PENDING
    )
    definition = models.TextField(null=True)
    # The class of a virtual actor; its tasks are calls then, and its output is its state.
    actor = models.TextField(null=True)
    params = models.JSONField(null=True)
    user_metadata = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    root_task_id = models.TextField(default="")
    created_by = models.TextField(default="")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.BigIntegerField(null=True)
    tasks_total = models.IntegerField(default=0)
    tasks_pending = models.IntegerField(default=0)
    tasks_running = models.IntegerField(default=0)
    tasks_successful = models.IntegerField(default=0)
    tasks_failed = models.IntegerField(default=0)
    tasks_canceled = models.IntegerField(default=0)
    error = models.JSONField(null=True)
    # What failed alike has the same fingerprint; empty unless it is FAILED, or RESUMABLE by an error.
    failure_group = models.CharField(max_length=16, default="", blank=True)
    # A failure that needs nobody any more: somebody said so, or a fork of it succeeded.
    resolved = models.BooleanField(default=False)
    forked_from = models.TextField(null=True)
    # The latest fork of it that succeeded.
    superseded_by = models.TextField(null=True)
    # The sequence number of the record that gave it its status.
    status_seq = models.BigIntegerField(default=0)
    output_preview = models.JSONField(null=True)
    # Set by the services while a command waits for the engine's confirmation.
    pending_command = models.CharField(max_length=16, null=True)
    # Where the follower is: the last record applied, and the reader's own name for that place.
    event_seq = models.BigIntegerField(default=0)
    position = models.TextField(default="")
    changed_at = models.DateTimeField()
    # The journal could not be read: what is wrong, in one sentence. The row then stands still.
    journal_problem = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["created_at", "id"], name="wf_created"),
            models.Index(fields=["status", "created_at", "id"], name="wf_status_created"),
            models.Index(fields=["definition", "created_at", "id"], name="wf_def_created"),
            models.Index(
                fields=["definition", "status", "created_at", "id"], name="wf_def_status_created"
            ),
            models.Index(fields=["started_at", "id"], name="wf_started"),
            models.Index(fields=["finished_at", "id"], name="wf_finished"),
            models.Index(fields=["duration_ms", "id"], name="wf_duration"),
            models.Index(fields=["changed_at", "id"], name="wf_changed"),
            models.Index(
                fields=["pending_command", "created_at", "id"],
                name="wf_pending",
                condition=models.Q(pending_command__isnull=False),
            ),
            models.Index(
                fields=["changed_at", "id"],
                name="wf_actor_changed",
                condition=models.Q(actor__isnull=False),
            ),
            models.Index(
                fields=["created_at", "id"],
                name="wf_unresolved",
                condition=models.Q(status__in=["FAILED", "RESUMABLE"], resolved=False),
            ),
            models.Index(
                fields=["failure_group", "created_at", "id"],
                name="wf_failure_group",
                condition=~models.Q(failure_group=""),
            ),
            models.Index(
                fields=["forked_from", "created_at", "id"],
                name="wf_forked_from",
                condition=models.Q(forked_from__isnull=False),
            ),
        ]
        # Rows follow the journals, so nobody adds or changes one: the operators' verbs are
        # permissions of their own.
        default_permissions = ("view", "delete")
        permissions = [
            ("start_workflow", "Can start workflows"),
            ("cancel_workflow", "Can cancel workflows"),
            ("resume_workflow", "Can resume workflows"),
            ("signal_workflow", "Can send messages to workflows"),
            ("bulk", "Can act on many workflows at once"),
            ("bulk_all", "Can act on all workflows at once"),
            ("bulk_unlimited", "Can act on any number of workflows at once"),
            ("view_payload", "Can see parameters, values and errors"),
            ("download_payload", "Can download values"),
            ("view_logs", "Can see the logs of tasks"),
            ("view_events", "Can see the event history"),
            ("view_cluster", "Can see the cluster"),
            ("view_audit", "Can see the audit log"),
            ("manage_members", "Can add accounts and give them roles"),
        ]

    @property
    def mark(self) -> str:
        """Tells this row from every other one, also from one that had its primary key before."""
        return f"{self.pk}:{self.created_at.timestamp()}"

    def __str__(self) -> str:
        return self.workflow_id


class Task(models.Model):
    """One node of a workflow's DAG."""

    # Its own index would be a part of `task_order`.
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, related_name="tasks", db_index=False
    )
    task_id = models.TextField()
    name = models.TextField(default="")
    status = models.CharField(
        max_length=16, choices=WorkflowStatus.choices, default=WorkflowStatus.PENDING
    )
    attempt = models.IntegerField(default=0)
    parent_task_id = models.TextField(null=True)
    upstream = models.JSONField(default=list)
    metadata = models.JSONField(default=dict)
    options = models.JSONField(default=dict)
    # While it waits for a signal, an answer, a time …: since when, until when at most, and for what.
    waiting_since = models.DateTimeField(null=True)
    waiting_until = models.DateTimeField(null=True)
    waits_for = models.CharField(max_length=16, default="", blank=True)
    # The workflow in which it ran, if this one is a fork that took its outcome over.
    reused_from = models.TextField(null=True)
    # The task whose result becomes this one's, when it returned a continuation.
    replaced_by = models.TextField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    duration_ms = models.BigIntegerField(null=True)
    error = models.JSONField(null=True)
    preview = models.JSONField(null=True)
    node = models.TextField(default="")
    pid = models.IntegerField(null=True)
    # event_seq of the workflow at the last change of this row, for "what changed since".
    changed_seq = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["workflow", "task_id"], name="task_once_per_workflow")
        ]
        indexes = [
            models.Index(fields=["workflow", "id"], name="task_order"),
            models.Index(fields=["workflow", "status", "id"], name="task_status"),
            models.Index(fields=["workflow", "name", "status", "id"], name="task_name_status"),
            models.Index(fields=["workflow", "started_at", "id"], name="task_started"),
            models.Index(fields=["workflow", "changed_seq", "id"], name="task_changed"),
            models.Index(
                fields=["waits_for", "waiting_since", "id"],
                name="task_waiting",
                condition=models.Q(waiting_since__isnull=False),
            ),
            models.Index(
                fields=["workflow", "id"],
                name="task_replaced",
                condition=models.Q(replaced_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.task_id


class TaskAttempt(models.Model):
    """One try at running a task's body."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="attempts")
    number = models.IntegerField()
    status = models.CharField(
        max_length=16, choices=WorkflowStatus.choices, default=WorkflowStatus.RUNNING
    )
    # "application" or "system" for a failure; "lost" for an attempt that an ownership change
    # made void; empty otherwise.
    cause = models.CharField(max_length=16, default="", blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    error = models.JSONField(null=True)
    node = models.TextField(default="")
    pid = models.IntegerField(null=True)

    class Meta:
        ordering = ["number"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["task", "number"], name="attempt_once_per_task")
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}"


class WorkflowEvent(models.Model):
    """One record of a workflow's journal, without its value."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    time = models.DateTimeField()
    kind = models.CharField(max_length=40)
    task_id = models.TextField(null=True)
    attempt = models.IntegerField(null=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["seq"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["workflow", "seq"], name="event_once_per_workflow")
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"


class Rollup(models.Model):
    """How many workflows of a definition were created in an hour and have a status now."""

    hour = models.DateTimeField()
    definition = models.TextField()  # empty for workflows without one
    status = models.CharField(max_length=16, choices=WorkflowStatus.choices)
    workflows = models.BigIntegerField()
    duration_ms = models.BigIntegerField()  # of all that have ended, together

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["hour", "definition", "status"], name="rollup_once")
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.definition} {self.status}: {self.workflows}"


class Definition(models.Model):
    """A launchable function, as the definition modules last declared it."""

    name = models.TextField(primary_key=True)
    description = models.TextField(default="", blank=True)
    module = models.TextField(default="", blank=True)
    params_schema = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    # False when the last load did not find it; kept so that old workflows can be explained.
    available = models.BooleanField(default=True)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class FollowerState(models.Model):
    """The single row that tells how fresh the registry is."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    cursor = models.TextField(default="")
    heartbeat_at = models.DateTimeField(null=True)
    # A Celery worker has run the sweep, which beat asks for every few seconds.
    swept_at = models.DateTimeField(null=True)
    reconciled_at = models.DateTimeField(null=True)
    engine_reachable = models.BooleanField(default=False)
    detail = models.TextField(default="", blank=True)

    class Meta:
        verbose_name_plural = "follower state"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="follower_state_is_single")
        ]

    def __str__(self) -> str:
        return "reachable" if self.engine_reachable else "engine unreachable"
