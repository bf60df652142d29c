"""Commands and bulk operations in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from workflows_app import services
from workflows_app.admin.base import ReadOnlyAdmin, as_json
from workflows_app.models import BulkItemState, BulkOperation, Command
from workflows_app.problems import Problem

SHOWN_ITEMS = 50


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """Commands: what was asked for, and what became of it."""

    list_display = ("id", "kind", "workflow_id", "state", "created_by", "created_at", "attempts")
    list_filter = ("state", "kind", "created_at")
    list_select_related = ("created_by",)
    search_fields = ("^workflow_id",)
    exclude = ("payload", "problem")
    readonly_fields = ("shown_payload", "shown_problem")
    actions = ("send_again",)

    @admin.action(description="Send again now", permissions=["view"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Command]) -> None:
        """Dispatch commands that seem stuck; harmless for those that are not."""
        assert isinstance(request.user, User)
        try:
            sent = services.send_again(request.user, queryset)
        except Problem as problem:
            messages.error(request, problem.detail)
            return
        messages.success(request, f"{sent} open commands were sent again.")

    @admin.display(description="Payload")
    def shown_payload(self, command: Command) -> Any:
        return as_json(command.payload)

    @admin.display(description="Problem")
    def shown_problem(self, command: Command) -> Any:
        return as_json(command.problem)


@admin.register(BulkOperation)
class BulkOperationAdmin(ReadOnlyAdmin):
    """Bulk operations with their progress."""

    list_display = (
        "id", "kind", "state", "total", "done", "skipped", "failed", "created_by", "created_at",
    )  # fmt: skip
    list_filter = ("state", "kind")
    list_select_related = ("created_by",)
    exclude = ("selection",)
    readonly_fields = ("shown_selection", "not_done")
    actions = ("abort",)

    @admin.action(description="Abort", permissions=["view"])
    def abort(self, request: HttpRequest, queryset: QuerySet[BulkOperation]) -> None:
        """Stop operations: what has been sent goes on, what waits is skipped."""
        assert isinstance(request.user, User)
        for bulk in queryset:
            try:
                services.abort_bulk(request.user, bulk)
            except Problem as problem:
                messages.error(request, problem.detail)
            else:
                messages.success(request, f"Aborted {bulk}.")

    @admin.display(description="Selection")
    def shown_selection(self, bulk: BulkOperation) -> Any:
        return as_json(bulk.selection)

    @admin.display(description="Failed and skipped (first 50)")
    def not_done(self, bulk: BulkOperation) -> SafeString | str:
        states = (BulkItemState.FAILED, BulkItemState.SKIPPED)
        items = bulk.items.filter(state__in=states).order_by("state", "id")[:SHOWN_ITEMS]
        rows = ((item.workflow_id, item.state, item.detail) for item in items)
        return format_html_join("", "<p>{} - {}: {}</p>", rows) or "-"
