"""Launching many workflows with one request."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import services
from workflows_app.api.commands import IDEMPOTENCY_HEADER, idempotency_key
from workflows_app.api.workflow import WorkflowDetail
from workflows_app.api.workflows import LaunchSerializer


class BatchSerializer(serializers.Serializer[Any]):
    """Many launches."""

    items = LaunchSerializer(many=True)


class BatchItemSerializer(serializers.Serializer[Any]):
    """One accepted launch."""

    workflow_id = serializers.CharField()
    operation = serializers.UUIDField(source="id")
    state = serializers.CharField()


class LaunchedBatchSerializer(serializers.Serializer[Any]):
    """The accepted launches, in the order of the request."""

    count = serializers.IntegerField()
    items = BatchItemSerializer(many=True)


@extend_schema_view(get=extend_schema(exclude=True), delete=extend_schema(exclude=True))
class WorkflowBatch(WorkflowDetail):
    """Launch many workflows at once. A workflow that is called ``batch`` stays within reach."""

    permissions_by_method: ClassVar[dict[str, str]] = {
        **WorkflowDetail.permissions_by_method,
        "POST": "start_workflow",
    }

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER],
        request=BatchSerializer,
        responses={202: LaunchedBatchSerializer},
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Launch up to 1,000 workflows: all of them, or none if one cannot be."""
        form = BatchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        key = idempotency_key(request)
        commands = services.launch_many(
            self.caller, form.validated_data["items"], idempotency_key=key
        )
        headers = {"Idempotency-Replayed": "true"} if commands[0].replayed else {}
        body = {"count": len(commands), "items": BatchItemSerializer(commands, many=True).data}
        return Response(body, status=202, headers=headers)
