"""Groups of failures and what people say of them, in the admin."""

from __future__ import annotations

from django.contrib import admin

from workflows_app.admin.base import ReadOnlyAdmin
from workflows_app.models import FailureGroup, FailureTriage, Resolution


@admin.register(FailureGroup)
class FailureGroupAdmin(ReadOnlyAdmin):
    """What failed alike. The console's page of a group resumes all of its workflows."""

    list_display = ("error_type", "message", "place", "workflows", "fingerprint")
    search_fields = ("^error_type", "^fingerprint")


@admin.register(FailureTriage)
class FailureTriageAdmin(ReadOnlyAdmin):
    """Who looks at a group, and whether it is resolved or ignored."""

    list_display = ("fingerprint", "state", "assignee", "note", "changed_at")
    list_filter = ("state",)
    search_fields = ("^fingerprint", "^assignee")


@admin.register(Resolution)
class ResolutionAdmin(ReadOnlyAdmin):
    """Failures that need nobody any more."""

    list_display = ("workflow_id", "note", "resolved_by", "resolved_at")
    search_fields = ("^workflow_id",)
