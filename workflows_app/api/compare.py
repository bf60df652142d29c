"""Two workflows side by side."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import access, comparing
from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import CountSerializer
from workflows_app.api.tasks import GroupNumbersSerializer
from workflows_app.api.workflows import WorkflowItemSerializer


class CompareQuery(serializers.Serializer[Any]):
    """Which two."""

    a = serializers.CharField(max_length=1024)
    b = serializers.CharField(max_length=1024)


class DifferenceSerializer(serializers.Serializer[Any]):
    """One place where two documents differ."""

    pointer = serializers.CharField()
    a = serializers.JSONField(allow_null=True)
    b = serializers.JSONField(allow_null=True)


class ComparedGroupSerializer(serializers.Serializer[Any]):
    """The tasks of one name in both."""

    name = serializers.CharField()
    a = GroupNumbersSerializer(allow_null=True)
    b = GroupNumbersSerializer(allow_null=True)
    delta_ms = serializers.IntegerField(
        allow_null=True, help_text="How much longer the median of b took."
    )


class AloneSerializer(serializers.Serializer[Any]):
    """Tasks that only one of the two has."""

    count = CountSerializer()
    items = serializers.ListField(child=serializers.CharField())


class DivergenceSerializer(serializers.Serializer[Any]):
    """The first task that became something else."""

    task_id = serializers.CharField()
    name = serializers.CharField()
    a = serializers.CharField()
    b = serializers.CharField()


class ComparisonSerializer(serializers.Serializer[Any]):
    """What differs between two workflows."""

    a = WorkflowItemSerializer()
    b = WorkflowItemSerializer()
    params = DifferenceSerializer(many=True, allow_null=True)
    tags = DifferenceSerializer(many=True)
    user_metadata = DifferenceSerializer(many=True)
    task_groups = ComparedGroupSerializer(many=True)
    only_in_a = AloneSerializer()
    only_in_b = AloneSerializer()
    first_divergence = DivergenceSerializer(allow_null=True)


class Compare(ApiView):
    """A comparison."""

    @extend_schema(tags=["workflows"], parameters=[CompareQuery], responses=ComparisonSerializer)
    def get(self, request: Request) -> Response:
        """What differs between two workflows: parameters, tags, tasks and how long these took."""
        query = read_query(request, CompareQuery)
        a, b = (lookup.find_to_change(self.caller, query[side]) for side in ("a", "b"))
        shown = self.shown()
        found = comparing.compare(a, b, may_see_payload=access.can(self.caller, "view_payload"))
        rows = {"a": a, "b": b}
        heads = {k: WorkflowItemSerializer(w, context=shown).data for k, w in rows.items()}
        return Response({**heads, **found})
