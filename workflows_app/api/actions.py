"""The verbs that change a workflow, and those that start another like it: rerun and fork."""

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
from workflows_app.api.shapes import AcceptedSerializer, WorkflowSerializer
from workflows_app.api.workflows import LaunchedSerializer, launched, pointing_into_the_body


class ActionSerializer(serializers.Serializer[Any]):
    """What accompanies a verb; an empty body will do."""

    reason = serializers.CharField(
        max_length=1_000, default="", allow_blank=True, help_text="Kept in the audit log."
    )


ACTION_SCHEMA = extend_schema(
    tags=["workflows"],
    parameters=[IDEMPOTENCY_HEADER, etags.IF_MATCH],
    request=ActionSerializer,
    responses={202: AcceptedSerializer},
)


class Action(ApiView):
    """Ask for one verb; 409 when the workflow's status does not allow it."""

    kind: ClassVar[str]

    def perform(self, request: Request, workflow_id: str) -> Response:
        form = ActionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        workflow = lookup.find_to_change(self.caller, workflow_id)
        etags.require_match(request, etags.of_workflow(workflow), f"Workflow {workflow_id!r}")
        command = services.request(
            self.caller,
            self.kind,
            workflow,
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


class ResumeSerializer(ActionSerializer):
    """What accompanies a resume; an empty body will do."""

    dry_run = serializers.BooleanField(default=False, help_text="Only tell what would run.")


class Resume(Action):
    """Continue a workflow that failed or lost its engine."""

    kind = "resume"
    permission: ClassVar[str | None] = "resume_workflow"

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER, etags.IF_MATCH],
        request=ResumeSerializer,
        responses={202: AcceptedSerializer},
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Resume a workflow: recorded checkpoints are reused, failed and missing tasks run.

        With `dry_run` nothing runs: the operation's `result` tells which tasks would.
        """
        form = ResumeSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if form.validated_data["dry_run"]:
            workflow = lookup.find_to_change(self.caller, workflow_id)
            return accepted(services.plan(self.caller, workflow, "resume"))
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


class ForkSerializer(serializers.Serializer[Any]):
    """Where the fork begins; an empty body runs what a resume would."""

    from_tasks = serializers.ListField(
        child=serializers.CharField(max_length=2_000, trim_whitespace=False),
        default=list,
        max_length=1_000,
        help_text="Tasks that run again, with everything that depends on them.",
    )
    workflow_id = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="Made up if not given."
    )
    metadata = serializers.DictField(required=False, help_text="Instead of the origin's.")
    tags = serializers.DictField(
        child=serializers.CharField(max_length=200),
        required=False,
        help_text="Instead of the origin's.",
    )
    reason = serializers.CharField(
        max_length=1_000, default="", allow_blank=True, help_text="Kept in the audit log."
    )
    dry_run = serializers.BooleanField(default=False, help_text="Only tell what would run.")


class Fork(ApiView):
    """Start another workflow from the checkpoints of this one."""

    permission: ClassVar[str | None] = "start_workflow"

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER, etags.IF_MATCH],
        request=ForkSerializer,
        responses={202: LaunchedSerializer},
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Run a new workflow that takes over the outcomes of all tasks that are not to run again.

        With `dry_run` nothing runs: the operation's `result` tells which tasks would.
        """
        form = ForkSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = dict(form.validated_data)
        origin = lookup.find_to_change(self.caller, workflow_id)
        etags.require_match(request, etags.of_workflow(origin), f"Workflow {workflow_id!r}")
        if asked.pop("dry_run"):
            tasks = asked["from_tasks"]
            return accepted(services.plan(self.caller, origin, "fork", from_tasks=tasks))
        key = idempotency_key(request)
        command = services.fork(self.caller, origin, **asked, idempotency_key=key)
        return launched(command, self.caller, self.shown())


class ResolveSerializer(serializers.Serializer[Any]):
    """Why; an empty body will do."""

    note = serializers.CharField(max_length=1_000, default="", allow_blank=True)


class Resolve(ApiView):
    """Say that a failure needs nobody any more."""

    permission: ClassVar[str | None] = "resume_workflow"

    @extend_schema(
        tags=["failures"], request=ResolveSerializer, responses={200: WorkflowSerializer}
    )
    def post(self, request: Request, workflow_id: str) -> Response:
        """Resolve a failure: it leaves the list of those that need somebody. A later failure returns."""
        form = ResolveSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        workflow = lookup.find_to_change(self.caller, workflow_id)
        services.resolve(self.caller, workflow, note=form.validated_data["note"])
        return _shown(self, workflow_id)


class Unresolve(ApiView):
    """Take that back."""

    permission: ClassVar[str | None] = "resume_workflow"

    @extend_schema(tags=["failures"], request=None, responses={200: WorkflowSerializer})
    def post(self, request: Request, workflow_id: str) -> Response:
        """Count a failure among those that need somebody again."""
        services.unresolve(self.caller, lookup.find_to_change(self.caller, workflow_id))
        return _shown(self, workflow_id)


def _shown(view: ApiView, workflow_id: str) -> Response:
    workflow = lookup.find(view.caller, workflow_id)
    data = WorkflowSerializer(workflow, context=view.shown()).data
    return Response(data, headers={"ETag": etags.of_workflow(workflow)})
