"""Workflows: the list with its filters, and the launch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import access, queries, services
from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.commands import IDEMPOTENCY_HEADER, accepted, idempotency_key
from workflows_app.api.pagination import (
    CountSerializer,
    PageQuery,
    PageSerializer,
    capped_count,
    paginate,
)
from workflows_app.api.shapes import (
    STATUSES,
    Guarded,
    OperationSerializer,
    TaskCountsSerializer,
    WorkflowSerializer,
)
from workflows_app.models import Command, Workflow
from workflows_app.problems import Invalid

# What a row of the list does not show and the database therefore need not read.
UNLISTED = ("params", "user_metadata", "output_preview", "position")
ERROR_HEAD_CHARS = 500


class WorkflowFilters(serializers.Serializer[Any]):
    """Which workflows; each parameter narrows them further."""

    q = serializers.CharField(
        max_length=1000, required=False, help_text="A query, such as `status:FAILED created:-24h`."
    )
    status = serializers.CharField(required=False, help_text="One status, or several with commas.")
    definition = serializers.CharField(max_length=200, required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)

    def validate_status(self, value: str) -> list[str]:
        names = [name.strip().upper() for name in value.split(",") if name.strip()]
        unknown = [name for name in names if name not in STATUSES]
        if unknown or not names:
            raise serializers.ValidationError(f"Use {', '.join(STATUSES)}.")
        return names


class WorkflowQuery(PageQuery, WorkflowFilters):
    """Filters and order of the list."""

    sort = serializers.ChoiceField(choices=list(queries.SORTS), default="-created")


class WorkflowItemSerializer(Guarded, serializers.ModelSerializer[Workflow]):
    """One row of the list."""

    guarded = ("error",)
    status = serializers.ChoiceField(choices=STATUSES)
    tags = serializers.DictField()
    tasks = TaskCountsSerializer(source="*")
    duration_ms = serializers.IntegerField(allow_null=True)
    error = serializers.SerializerMethodField(help_text="Type and head of the message.")
    pending_command = serializers.CharField(allow_null=True)
    event_seq = serializers.IntegerField()

    class Meta:
        model = Workflow
        fields = tuple(n for n in WorkflowSerializer.Meta.fields if n not in UNLISTED)
        read_only_fields = fields

    def get_error(self, workflow: Workflow) -> dict[str, str] | None:
        if not workflow.error:
            return None
        message = str(workflow.error.get("message", ""))[:ERROR_HEAD_CHARS]
        return {"type": str(workflow.error.get("type", "")), "message": message}


class WorkflowPage(serializers.Serializer[Any]):
    """A page of workflows and how many match."""

    items = WorkflowItemSerializer(many=True)
    page = PageSerializer()
    count = CountSerializer()


class LaunchSerializer(serializers.Serializer[Any]):
    """What to launch."""

    definition = serializers.CharField(max_length=200, trim_whitespace=False)
    params = serializers.DictField(default=dict)
    # The rule for ids is the service's; here every text passes, so that one place says no.
    workflow_id = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="`[A-Za-z0-9._~-]{1,200}`, not dots alone; made up if not given.",
    )
    metadata = serializers.DictField(required=False, help_text="Kept with the workflow, as it is.")
    tags = serializers.DictField(child=serializers.CharField(max_length=200), required=False)


class LaunchedSerializer(serializers.Serializer[Any]):
    """The accepted launch."""

    operation = OperationSerializer()
    workflow = WorkflowSerializer()


class WorkflowList(ApiView):
    """List workflows, or launch one."""

    permissions_by_method: ClassVar[dict[str, str]] = {"POST": "start_workflow"}

    @extend_schema(tags=["workflows"], parameters=[WorkflowQuery], responses=WorkflowPage)
    def get(self, request: Request) -> Response:
        """List workflows, newest first unless `sort` says otherwise."""
        query = read_query(request, WorkflowQuery)
        filters = {k: v for k, v in query.items() if k not in ("limit", "cursor", "sort")}
        filters["may_see_payload"] = access.can(self.caller, "view_payload")
        matching = queries.search(access.workflows_for(self.caller), **filters)
        rows = matching.defer(*UNLISTED)
        page = paginate(rows, queries.SORTS[query["sort"]], scope="workflows", query=query)
        items = WorkflowItemSerializer(page.rows, many=True, context=self.shown()).data
        return Response(page.envelope(items, capped_count(matching)))

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER],
        request=LaunchSerializer,
        responses={202: LaunchedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Launch a definition. The answer comes before the workflow runs: follow `Location`."""
        form = LaunchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        key = idempotency_key(request)
        with pointing_into_the_body():
            command = services.launch(self.caller, **form.validated_data, idempotency_key=key)
        return launched(command, self.caller, self.shown())


def launched(command: Command, caller: User, context: dict[str, Any]) -> Response:
    """202 with the operation and the workflow as it is known so far."""
    rows = access.workflows_for(caller).filter(workflow_id=command.workflow_id)
    workflow = rows.first() or lookup.launching(command)
    return accepted(command, workflow=WorkflowSerializer(workflow, context=context).data)


@contextmanager
def pointing_into_the_body() -> Iterator[None]:
    """The service's pointers start at the parameters; a client knows only its whole body."""
    try:
        yield
    except Invalid as problem:
        if problem.code == "invalid_parameters":
            for error in problem.errors:
                error["pointer"] = "/params" + error["pointer"]
        raise
