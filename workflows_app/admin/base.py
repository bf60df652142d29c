"""What all our admin pages share: rows are looked at, never edited; counting has a limit."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from workflows_app import queries

# Django's classes take type arguments for the type checker only.
if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyPaginator = Paginator
    AnyModelAdmin = admin.ModelAdmin


class CappedPaginator(AnyPaginator):
    """Counts no further than the cap: counting a million rows would be most of the page's time."""

    @cached_property
    def count(self) -> int:
        number, _ = queries.capped_count(self.object_list)  # type: ignore[arg-type]
        return number


class ReadOnlyAdmin(AnyModelAdmin):
    """Rows that only the follower or the services write."""

    actions: Any = ()
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # Deleting a row here would leave its storage, so the built-in action stays away too.
        return False


def as_json(value: Any) -> str | SafeString:
    """A JSON value, readable."""
    if value in (None, {}, []):
        return "-"
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, sort_keys=True, default=str))
