"""Failures by group: what failed alike, how much of it, and what people say of it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import services
from workflows_app.api import etags
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.api.shapes import HIDDEN
from workflows_app.failure_groups import State, find, groups, query_of, state_of
from workflows_app.keyset import Sort
from workflows_app.models import FailureGroup
from workflows_app.problems import Invalid

LARGEST_FIRST = Sort("workflows", True)


class FailureQuery(PageQuery):
    """Filters of the groups."""

    state = serializers.ChoiceField(
        choices=(*State.values, "all"),
        default=str(State.OPEN),
        help_text="A resolved group is open again when another workflow fails like it.",
    )


class FailureGroupSerializer(serializers.Serializer[Any]):
    """Unresolved workflows that failed alike."""

    fingerprint = serializers.CharField()
    error_type = serializers.CharField()
    message = serializers.SerializerMethodField(help_text="What differs is replaced by …")
    place = serializers.SerializerMethodField(help_text="The innermost functions.")
    workflows = serializers.IntegerField(help_text="How many, without the resolved ones.")
    first_seen_at = serializers.DateTimeField(help_text="When the oldest of them was created.")
    last_seen_at = serializers.DateTimeField(help_text="When the newest of them was created.")
    state = serializers.SerializerMethodField()
    assignee = serializers.CharField()
    note = serializers.CharField()
    query = serializers.SerializerMethodField(
        help_text="Selects these workflows: in the list, an export or a bulk operation."
    )

    def get_message(self, group: FailureGroup) -> str:
        return group.message if self.context.get("payload") else HIDDEN

    def get_place(self, group: FailureGroup) -> str:
        return group.place if self.context.get("payload") else HIDDEN

    def get_state(self, group: Any) -> str:
        return state_of(group)

    def get_query(self, group: FailureGroup) -> str:
        return query_of(group)


class FailurePage(serializers.Serializer[Any]):
    """A page of groups."""

    items = FailureGroupSerializer(many=True)
    page = PageSerializer()


class TriageSerializer(serializers.Serializer[Any]):
    """What is to change; what is left out stays."""

    state = serializers.ChoiceField(choices=State.values, required=False)
    assignee = serializers.CharField(max_length=150, allow_blank=True, required=False)
    note = serializers.CharField(max_length=2_000, allow_blank=True, required=False)


class FailureList(ApiView):
    """The groups of failures."""

    @extend_schema(tags=["failures"], parameters=[FailureQuery], responses=FailurePage)
    def get(self, request: Request) -> Response:
        """List groups of failures, the largest first."""
        query = read_query(request, FailureQuery)
        page = paginate(groups(query["state"]), LARGEST_FIRST, scope="failures", query=query)
        items = FailureGroupSerializer(page.rows, many=True, context=self.shown()).data
        return Response(page.envelope(items))


class FailureDetail(ApiView):
    """One group of failures."""

    http_method_names = ["get", "head", "patch"]
    permissions_by_method: ClassVar[dict[str, str]] = {"PATCH": "resume_workflow"}

    @extend_schema(
        tags=["failures"], parameters=[etags.IF_NONE_MATCH], responses=FailureGroupSerializer
    )
    def get(self, request: Request, fingerprint: str) -> Response:
        """How many failed alike, since when, and what people say of it."""
        read_query(request, serializers.Serializer)
        return self._answer(request, fingerprint)

    @extend_schema(
        tags=["failures"],
        parameters=[etags.IF_MATCH],
        request=TriageSerializer,
        responses=FailureGroupSerializer,
    )
    def patch(self, request: Request, fingerprint: str) -> Response:
        """Change the state, the assignee or the note of a group; its workflows stay as they are."""
        form = TriageSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if not form.validated_data:
            raise Invalid("Give at least one of: state, assignee, note.")
        group = find(fingerprint)
        etags.require_match(request, _tag(group), f"The group {fingerprint!r}")
        revision = group.revision if "If-Match" in request.headers else None
        services.triage(self.caller, fingerprint, form.validated_data, revision=revision or None)
        return self._answer(request, fingerprint)

    def _answer(self, request: Request, fingerprint: str) -> Response:
        group = find(fingerprint)
        data = FailureGroupSerializer(group, context=self.shown()).data
        return etags.tagged(request, _tag(group), data)


def _tag(group: Any) -> str:
    return etags.of_revision(group.revision or 0)
