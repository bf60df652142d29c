"""One workflow: its detail, its output and its deletion."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import services
from workflows_app.api import etags, lookup
from workflows_app.api.base import ApiView
from workflows_app.api.commands import IDEMPOTENCY_HEADER, accepted, idempotency_key
from workflows_app.api.shapes import (
    STATUSES,
    AcceptedSerializer,
    PreviewSerializer,
    WorkflowSerializer,
)
from workflows_app.problems import Conflict


class WorkflowDetail(ApiView):
    """One workflow."""

    permissions_by_method: ClassVar[dict[str, str]] = {"DELETE": "delete_workflow"}

    @extend_schema(
        tags=["workflows"], parameters=[etags.IF_NONE_MATCH], responses=WorkflowSerializer
    )
    def get(self, request: Request, workflow_id: str) -> Response:
        """Everything the registry knows about a workflow, tasks and events excepted."""
        workflow = lookup.find(self.caller, workflow_id)
        data = WorkflowSerializer(workflow, context=self.shown()).data
        return etags.tagged(request, etags.of_workflow(workflow), data)

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER, etags.IF_MATCH],
        responses={202: AcceptedSerializer},
    )
    def delete(self, request: Request, workflow_id: str) -> Response:
        """Delete a workflow with its journal and values; refused while it runs."""
        workflow = lookup.find_to_change(self.caller, workflow_id)
        etags.require_match(request, etags.of_workflow(workflow), f"Workflow {workflow_id!r}")
        key = idempotency_key(request)
        return accepted(services.request(self.caller, "delete", workflow, idempotency_key=key))


class OutputSerializer(serializers.Serializer[Any]):
    """The result of a workflow, as far as a page can show it."""

    workflow_id = serializers.CharField()
    status = serializers.ChoiceField(choices=STATUSES)
    preview = PreviewSerializer(allow_null=True)


class WorkflowOutput(ApiView):
    """The output's preview; the value itself stays in the storage."""

    permission: ClassVar[str | None] = "view_payload"

    @extend_schema(tags=["workflows"], responses=OutputSerializer)
    def get(self, request: Request, workflow_id: str) -> Response:
        """A bounded preview of the workflow's result, or of an actor's state; 409 while there is none."""
        workflow = lookup.find(self.caller, workflow_id)
        has_state = workflow.actor is not None and workflow.output_preview is not None
        if workflow.status != "SUCCESSFUL" and not has_state:
            raise Conflict(
                f"Workflow {workflow_id!r} is {workflow.status} and has no output; "
                "wait for SUCCESSFUL with status/?wait=30&until=terminal.",
                extra={"current": {"status": workflow.status}},
            )
        body = {"workflow_id": workflow_id, "status": workflow.status}
        return Response({**body, "preview": workflow.output_preview})
