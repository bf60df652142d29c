"""The verbs that change a workflow: cancel, suspend and resume; and rerun, which starts another like it."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import services
from workflows_app.api import lookup
from workflows_app.api.base import ApiView
from workflows_app.api.commands import IDEMPOTENCY_HEADER, accepted, idempotency_key
from workflows_app.api.shapes import AcceptedSerializer
from workflows_app.api.workflows import LaunchedSerializer, launched, pointing_into_the_body


class ActionSerializer(serializers.Serializer[Any]):
    """What accompanies a verb; an empty body will do."""

    reason = serializers.CharField(
        max_length=1_000, default="", allow_blank=True, help_text="Kept in the audit log."
    )


ACTION_SCHEMA = extend_schema(
    tags=["workflows"],
    parameters=[IDEMPOTENCY_HEADER],
    request=ActionSerializer,
    responses={202: AcceptedSerializer},
)


class Action(ApiView):
    """Ask for one verb; 409 when the workflow's status does not allow it."""

    kind: ClassVar[str]

    def perform(self, request: Request, workflow_id: str) -> Response:
        form = ActionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        command = services.request(
            self.caller,
            self.kind,
            lookup.find_to_change(self.caller, workflow_id),
            reason=form.validated_data["reason"],
            idempotency_key=idempotency_key(request),
        )
        return accepted(command)


class Cancel(Action):
    """Stop a workflow that is pending or running."""

    kind = "cancel"
    permission: ClassVar[str | None] = "cancel_workflow"

    @ACTION_SCHEMA
    def post(self, request: Request, workflow_id: str) -> Response:
        """Cancel a workflow. Finished tasks keep their checkpoints."""
        return self.perform(request, workflow_id)


class Suspend(Action):
    """Stop a workflow that is pending or running, to be resumed later."""

    kind = "suspend"
    permission: ClassVar[str | None] = "cancel_workflow"

    @ACTION_SCHEMA
    def post(self, request: Request, workflow_id: str) -> Response:
        """Suspend a workflow. It becomes RESUMABLE; finished tasks keep their checkpoints."""
        return self.perform(request, workflow_id)


class Resume(Action):
    """Continue a workflow that failed or lost its engine."""

    kind = "resume"
    permission: ClassVar[str | None] = "resume_workflow"

    @ACTION_SCHEMA
    def post(self, request: Request, workflow_id: str) -> Response:
        """Resume a workflow: recorded checkpoints are reused, failed and missing tasks run."""
        return self.perform(request, workflow_id)


class RerunSerializer(serializers.Serializer[Any]):
    """What is to be different this time; an empty body will do."""

    params = serializers.DictField(
        required=False, help_text="Instead of the parameters of the same name."
    )
    workflow_id = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="Made up if not given."
    )


class Rerun(ApiView):
    """Start another workflow like this one."""

    permission: ClassVar[str | None] = "start_workflow"

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER],
        request=RerunSerializer,
        responses={202: LaunchedSerializer},
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Launch its definition with its parameters under a new id; no checkpoint is reused."""
        form = RerunSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        original = lookup.find_to_change(self.caller, workflow_id)
        with pointing_into_the_body():
            command = services.rerun(
                self.caller,
                original,
                params=form.validated_data.get("params"),
                workflow_id=form.validated_data.get("workflow_id"),
                idempotency_key=idempotency_key(request),
            )
        return launched(command, self.caller, self.shown())
