"""Workflows in the admin: list, filters, search, and bulk actions on any selection.

"Select all" hands the query to the service, not a list of ids, so a hundred thousand rows cost
the request no more than ten.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflows_app import access, queries, services
from workflows_app.admin.base import ReadOnlyAdmin, as_json
from workflows_app.models import Workflow, WorkflowStatus
from workflows_app.problems import Problem
from workflows_app.services import bulk_preview

MOST_DEFINITIONS = 200


class BulkAction:
    """One bulk verb: a confirmation page first, then a bulk operation."""

    def __init__(self, name: str, kind: str, title: str, *, include_failed: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.title = title
        self.include_failed = include_failed

    def __call__(
        self, model_admin: WorkflowAdmin, request: HttpRequest, queryset: QuerySet[Workflow]
    ) -> HttpResponseBase | None:
        plan = self._plan(queryset)
        if "confirmed" in request.POST:
            mistake = self._mistake(request, plan)
            if mistake is None:
                return self._start(model_admin, request, queryset)
            messages.error(request, mistake)
        return self._ask(model_admin, request, plan)

    def _plan(self, queryset: QuerySet[Workflow]) -> dict[str, Any]:
        """What would happen: counts by status, and why some are skipped."""
        groups, total, taken = bulk_preview.plan(
            queryset, self.kind, include_failed=self.include_failed
        )
        return {
            "groups": groups,
            "total": total,
            "taken": taken,
            "ask_number": bulk_preview.needs_reason(self.kind, total),
        }

    def _mistake(self, request: HttpRequest, plan: dict[str, Any]) -> str | None:
        if not plan["ask_number"]:
            return None
        if request.POST.get("number", "").strip() != str(plan["total"]):
            return f"Type {plan['total']}, the number of selected workflows, to confirm."
        if not request.POST.get("reason", "").strip():
            return "Give a reason; it is kept in the audit log."
        return None

    def _start(
        self, model_admin: WorkflowAdmin, request: HttpRequest, queryset: QuerySet[Workflow]
    ) -> HttpResponseBase | None:
        assert isinstance(request.user, User)
        try:
            bulk = services.request_bulk(
                request.user,
                self.kind,
                queryset=queryset,
                reason=request.POST.get("reason", "").strip(),
                include_failed=self.include_failed,
            )
        except Problem as problem:
            messages.error(request, problem.detail)
            return None
        model_admin.log_addition(request, bulk, [{"added": {"name": self.title}}])
        messages.success(request, f"{self.title}: {bulk.total} workflows are being worked on.")
        return redirect(reverse("admin:workflows_app_bulkoperation_change", args=[bulk.id]))

    def _ask(
        self, model_admin: WorkflowAdmin, request: HttpRequest, plan: dict[str, Any]
    ) -> HttpResponseBase:
        context = {
            **model_admin.admin_site.each_context(request),
            **plan,
            "title": f"{self.title}: {plan['total']} workflows",
            "opts": model_admin.opts,
            "action": self.name,
            "kind": self.kind,
            "reason": request.POST.get("reason", ""),
            "select_across": request.POST.get("select_across", "0"),
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "checkbox_name": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/workflows_app/confirm_bulk.html", context)


BULK_ACTIONS = (
    BulkAction("resume", "resume", "Resume"),
    BulkAction("resume_failed", "resume", "Resume including failed", include_failed=True),
    BulkAction("cancel", "cancel", "Cancel"),
    BulkAction("delete_with_storage", "delete", "Delete with storage"),
)


class DefinitionFilter(admin.SimpleListFilter):
    """The definitions, found without reading every workflow."""

    title = "definition"
    parameter_name = "definition"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = queries.distinct_values(Workflow, "definition", limit=MOST_DEFINITIONS)
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> QuerySet[Workflow]:
        return queryset.filter(definition=self.value()) if self.value() else queryset


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin):
    """The workflows."""

    list_display = (
        "workflow_id", "status_badge", "definition", "created_at", "duration", "error_head",
        "pending_command",
    )  # fmt: skip
    list_filter = ("status", DefinitionFilter, "created_at")
    search_fields = ("^workflow_id",)
    search_help_text = "The beginning of a workflow id."
    date_hierarchy = None
    ordering = ("-created_at", "-id")
    exclude = ("params", "user_metadata", "tags", "error", "output_preview", "position")
    readonly_fields = ("shown_params", "shown_metadata", "shown_tags", "shown_error", "links")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {
            action.name: (action, action.name, f"{action.title}…")
            for action in BULK_ACTIONS
            if access.can(request.user, "bulk")
            and access.can(request.user, access.PERMISSION_OF_KIND[action.kind])
        }

    @admin.display(description="Status", ordering="status")
    def status_badge(self, workflow: Workflow) -> SafeString:
        label = WorkflowStatus(workflow.status).label
        return format_html(
            '<span class="status status-{}">{}</span>', workflow.status.lower(), label
        )

    @admin.display(description="Duration", ordering="duration_ms")
    def duration(self, workflow: Workflow) -> str:
        return "-" if workflow.duration_ms is None else f"{workflow.duration_ms / 1000:.1f} s"

    @admin.display(description="Error")
    def error_head(self, workflow: Workflow) -> str:
        error = workflow.error or {}
        return f"{error.get('type', '')}: {error.get('message', '')}"[:100] if error else "-"

    @admin.display(description="Parameters")
    def shown_params(self, workflow: Workflow) -> Any:
        return as_json(workflow.params)

    @admin.display(description="Metadata")
    def shown_metadata(self, workflow: Workflow) -> Any:
        return as_json(workflow.user_metadata)

    @admin.display(description="Tags")
    def shown_tags(self, workflow: Workflow) -> Any:
        return as_json(workflow.tags)

    @admin.display(description="Error")
    def shown_error(self, workflow: Workflow) -> Any:
        return as_json(workflow.error)

    @admin.display(description="More")
    def links(self, workflow: Workflow) -> SafeString:
        query = f"?workflow__id__exact={workflow.pk}"
        return format_html(
            '<a href="{}">Tasks</a> · <a href="{}">Events</a>',
            reverse("admin:workflows_app_task_changelist") + query,
            reverse("admin:workflows_app_workflowevent_changelist") + query,
        )
