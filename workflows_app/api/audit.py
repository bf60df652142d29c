"""The audit log: who asked for what, and when."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.keyset import Sort
from workflows_app.models import AuditEntry


class AuditQuery(PageQuery):
    """Filters of the log; each narrows it further."""

    actor = serializers.CharField(max_length=200, required=False, help_text="Who asked.")
    verb = serializers.CharField(max_length=40, required=False)
    target = serializers.CharField(max_length=1024, required=False, help_text="A workflow's id, …")
    after = serializers.DateTimeField(required=False)
    before = serializers.DateTimeField(required=False)


class AuditSerializer(serializers.ModelSerializer[AuditEntry]):
    """One entry; it is never changed."""

    detail = serializers.DictField()

    class Meta:
        model = AuditEntry
        fields = ("id", "time", "actor", "verb", "target", "detail", "request_id")
        read_only_fields = fields


class AuditPage(serializers.Serializer[Any]):
    """A page of the log."""

    items = AuditSerializer(many=True)
    page = PageSerializer()


class AuditList(ApiView):
    """The audit log."""

    permission: ClassVar[str | None] = "view_audit"

    @extend_schema(tags=["audit"], parameters=[AuditQuery], responses=AuditPage)
    def get(self, request: Request) -> Response:
        """List entries, newest first."""
        query = read_query(request, AuditQuery)
        entries = AuditEntry.objects.all()
        for name in ("actor", "verb", "target"):
            if value := query.get(name):
                entries = entries.filter(**{name: value})
        if after := query.get("after"):
            entries = entries.filter(time__gte=after)
        if before := query.get("before"):
            entries = entries.filter(time__lt=before)
        page = paginate(entries, Sort("time", True), scope="audit", query=query)
        return Response(page.envelope(AuditSerializer(page.rows, many=True).data))
