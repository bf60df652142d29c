"""The history of a workflow: its journal's records in order, without gaps."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.shapes import Guarded
from workflows_app.models import WorkflowEvent

MAX_EVENTS = 1_000
MAX_SEQ = 2**63 - 1


class EventQuery(serializers.Serializer[Any]):
    """Where to go on reading."""

    after_seq = serializers.IntegerField(
        min_value=0, max_value=MAX_SEQ, default=0, help_text="Answer only newer events."
    )
    limit = serializers.IntegerField(min_value=1, max_value=MAX_EVENTS, default=200)


class EventSerializer(Guarded, serializers.ModelSerializer[WorkflowEvent]):
    """One record; `data` may hold values and is null for who may not see them."""

    guarded = ("data",)
    task_id = serializers.CharField(allow_null=True)
    attempt = serializers.IntegerField(allow_null=True)
    # DRF takes declared fields out of the class, so this does not hide its attribute.
    data = serializers.DictField(allow_null=True)  # type: ignore[assignment]

    class Meta:
        model = WorkflowEvent
        fields = ("seq", "time", "kind", "task_id", "attempt", "data")
        read_only_fields = fields


class EventPage(serializers.Serializer[Any]):
    """Events, oldest first. Ask again with `after_seq=last_seq`, at once if `more`."""

    items = EventSerializer(many=True)
    last_seq = serializers.IntegerField()
    more = serializers.BooleanField()


class WorkflowEvents(ApiView):
    """The event history of one workflow."""

    permission: ClassVar[str | None] = "view_events"

    @extend_schema(tags=["events"], parameters=[EventQuery], responses=EventPage)
    def get(self, request: Request, workflow_id: str) -> Response:
        """Events after a sequence number, oldest first."""
        query = read_query(request, EventQuery)
        workflow = lookup.find(request.user, workflow_id)
        newer = WorkflowEvent.objects.filter(workflow_id=workflow.pk, seq__gt=query["after_seq"])
        rows = list(newer.order_by("seq")[: query["limit"] + 1])
        shown = rows[: query["limit"]]
        body = {
            "items": EventSerializer(shown, many=True, context=self.shown()).data,
            "last_seq": shown[-1].seq if shown else query["after_seq"],
            "more": len(rows) > len(shown),
        }
        return Response(body)
