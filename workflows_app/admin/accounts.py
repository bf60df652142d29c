"""API tokens, the audit log and saved searches in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from workflows_app import tokens
from workflows_app.admin.base import AnyModelAdmin, ReadOnlyAdmin, as_json
from workflows_app.models import ApiToken, AuditEntry, SavedView
from workflows_app.problems import Invalid


class ApiTokenForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new token; its networks as people write them."""

    networks = forms.CharField(
        required=False,
        help_text="Where it may be used from, like 10.0.0.0/8; empty: from anywhere.",
    )

    def clean_networks(self) -> list[str]:
        try:
            return [
                tokens.network_of(each)
                for each in self.cleaned_data["networks"].replace(",", " ").split()
            ]
        except Invalid as problem:
            raise forms.ValidationError(problem.detail) from problem


@admin.register(ApiToken)
class ApiTokenAdmin(AnyModelAdmin):
    """Tokens: made here, shown once, revoked here, never changed."""

    form = ApiTokenForm

    list_display = ("name", "prefix", "user", "scope", "created_at", "expires_at", "last_used_at",
                    "revoked_at")  # fmt: skip
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "^prefix")
    fields = ("user", "name", "scope", "networks", "expires_at")
    autocomplete_fields = ("user",)
    actions = ("revoke",)

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        # The account picker needs a permission of its own; without it, a token is for oneself.
        return ("user",) if request.user.has_perm("auth.view_user") else ()

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        if obj is not None or request.user.has_perm("auth.view_user"):
            return self.fields
        return ("name", "scope", "networks", "expires_at")

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False  # Revoking keeps the trace of what it was used for.

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)
        owner = form.cleaned_data.get("user") or request.user
        made, plain = tokens.create(
            owner,
            obj.name,
            scope=obj.scope,
            expires_at=form.cleaned_data.get("expires_at"),
            networks=obj.networks,
        )
        obj.pk = made.pk
        messages.warning(request, f"The token is {plain} - it is never shown again.")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Make the selected tokens useless."""
        for token in queryset:
            tokens.revoke(token)
        messages.success(request, "The selected tokens open nothing any more.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("workflows_app.change_apitoken")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """The audit log. Nobody changes or deletes it here, superusers included."""

    list_display = ("time", "actor", "verb", "target", "request_id")
    list_filter = ("verb", "time")
    search_fields = ("^actor", "^target")
    exclude = ("detail",)
    readonly_fields = ("shown_detail",)

    @admin.display(description="Detail")
    def shown_detail(self, entry: AuditEntry) -> Any:
        return as_json(entry.detail)


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    """Searches that people keep. They are made and changed on their own page."""

    list_display = ("name", "owner", "query", "sort", "shared", "created_at")
    list_filter = ("shared",)
    list_select_related = ("owner",)
    search_fields = ("^name", "^owner__username")
