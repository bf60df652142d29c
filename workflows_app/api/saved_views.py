"""Searches of the list of workflows that people keep."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import queries, services, workflow_columns
from workflows_app.api import etags
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.keyset import Sort
from workflows_app.models import SavedView

COLUMNS = ("workflow_id", *workflow_columns.COLUMNS)


class ViewSettings(serializers.ModelSerializer[SavedView]):
    """What a view shows."""

    name = serializers.CharField(max_length=100)
    query = serializers.CharField(max_length=1000, allow_blank=True, default="")
    sort = serializers.ChoiceField(choices=list(queries.SORTS), default="-created")
    columns = serializers.ListField(
        child=serializers.ChoiceField(choices=COLUMNS), default=list, max_length=len(COLUMNS)
    )
    shared = serializers.BooleanField(default=False, help_text="Whether others see it.")

    class Meta:
        model = SavedView
        fields: tuple[str, ...] = ("name", "query", "sort", "columns", "shared")


class ViewSerializer(ViewSettings):
    """A view."""

    owner = serializers.CharField(source="owner.username")

    class Meta(ViewSettings.Meta):
        fields = ("id", *ViewSettings.Meta.fields, "owner", "created_at")
        read_only_fields = fields


class ViewPage(serializers.Serializer[Any]):
    """A page of views."""

    items = ViewSerializer(many=True)
    page = PageSerializer()


class ViewList(ApiView):
    """The views of the account, and those that others share."""

    @extend_schema(tags=["views"], parameters=[PageQuery], responses=ViewPage)
    def get(self, request: Request) -> Response:
        """List views by name."""
        query = read_query(request, PageQuery)
        rows = services.views_for(self.caller)
        page = paginate(rows, Sort("name"), scope=f"views {self.caller.pk}", query=query)
        return Response(page.envelope(ViewSerializer(page.rows, many=True).data))

    @extend_schema(tags=["views"], request=ViewSettings, responses={201: ViewSerializer})
    def post(self, request: Request) -> Response:
        """Keep a search under a name."""
        form = ViewSettings(data=request.data)
        form.is_valid(raise_exception=True)
        made = services.save_view(self.caller, form.validated_data)
        headers = {
            "Location": reverse("api:saved-view", args=[made.pk]),
            "ETag": etags.of_revision(made.revision),
        }
        return Response(ViewSerializer(made).data, status=201, headers=headers)


class ViewDetail(ApiView):
    """One view."""

    http_method_names = ["get", "head", "put", "delete"]

    @extend_schema(tags=["views"], parameters=[etags.IF_NONE_MATCH], responses=ViewSerializer)
    def get(self, request: Request, view_id: int) -> Response:
        """What it shows."""
        read_query(request, serializers.Serializer)
        view = services.find_view(self.caller, view_id)
        return etags.tagged(request, etags.of_revision(view.revision), ViewSerializer(view).data)

    @extend_schema(
        tags=["views"],
        parameters=[etags.IF_MATCH],
        request=ViewSettings,
        responses=ViewSerializer,
    )
    def put(self, request: Request, view_id: int) -> Response:
        """Change a view of one's own; what is left out has its default again."""
        form = ViewSettings(data=request.data)
        form.is_valid(raise_exception=True)
        view = services.find_view(self.caller, view_id)
        etags.require_match(request, etags.of_revision(view.revision), f"The view {view.name!r}")
        revision = view.revision if "If-Match" in request.headers else None
        changed = services.change_view(self.caller, view, form.validated_data, revision=revision)
        headers = {"ETag": etags.of_revision(changed.revision)}
        return Response(ViewSerializer(changed).data, headers=headers)

    @extend_schema(tags=["views"], parameters=[etags.IF_MATCH], responses={200: ViewSerializer})
    def delete(self, request: Request, view_id: int) -> Response:
        """Forget a view of one's own, and answer what it was."""
        view = services.find_view(self.caller, view_id)
        etags.require_match(request, etags.of_revision(view.revision), f"The view {view.name!r}")
        was = ViewSerializer(view).data
        services.delete_view(self.caller, view)
        return Response(was)
