"""Tasks, attempts, events, definitions and the follower's state: to look at."""

from __future__ import annotations

from django.contrib import admin

from workflows_app.admin.base import ReadOnlyAdmin
from workflows_app.models import Definition, FollowerState, Task, TaskAttempt, WorkflowEvent


@admin.register(Task)
class TaskAdmin(ReadOnlyAdmin):
    """Tasks, reached from their workflow."""

    list_display = ("task_id", "workflow", "name", "status", "attempt", "duration_ms")
    list_filter = ("status",)
    list_select_related = ("workflow",)
    search_fields = ("^task_id",)
    ordering = ("-id",)

    def lookup_allowed(self, lookup: str, value: str, request: object = None) -> bool:
        return lookup == "workflow__id__exact" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]


@admin.register(TaskAttempt)
class TaskAttemptAdmin(ReadOnlyAdmin):
    """Attempts."""

    list_display = ("task", "number", "status", "cause", "started_at", "finished_at", "node")
    list_filter = ("status", "cause")
    list_select_related = ("task",)
    ordering = ("-id",)


@admin.register(WorkflowEvent)
class WorkflowEventAdmin(ReadOnlyAdmin):
    """Events, reached from their workflow."""

    list_display = ("seq", "workflow", "time", "kind", "task_id", "attempt")
    list_select_related = ("workflow",)
    ordering = ("-id",)

    def lookup_allowed(self, lookup: str, value: str, request: object = None) -> bool:
        return lookup == "workflow__id__exact" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]


@admin.register(Definition)
class DefinitionAdmin(ReadOnlyAdmin):
    """The catalogue of definitions; it follows the code."""

    list_display = ("name", "module", "available", "updated_at")
    list_filter = ("available",)
    search_fields = ("name",)


@admin.register(FollowerState)
class FollowerStateAdmin(ReadOnlyAdmin):
    """How fresh the registry is."""

    list_display = ("engine_reachable", "heartbeat_at", "reconciled_at", "detail")
