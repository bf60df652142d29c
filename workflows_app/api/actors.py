"""Virtual actors: the list. Each is a workflow, whose tasks are its calls and whose output is its state."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import access, queries
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import (
    CountSerializer,
    PageQuery,
    PageSerializer,
    capped_count,
    paginate,
)
from workflows_app.api.shapes import STATUSES, TaskCountsSerializer
from workflows_app.keyset import Sort
from workflows_app.models import Workflow

SORTS = {"called": Sort("changed_at"), "-called": Sort("changed_at", True)}
UNLISTED = ("params", "user_metadata", "output_preview", "position", "error")


class ActorQuery(PageQuery):
    """Filters of the list; each narrows it further."""

    q = serializers.CharField(max_length=200, required=False, help_text="Text in id or class.")
    sort = serializers.ChoiceField(choices=list(SORTS), default="-called")


class ActorSerializer(serializers.ModelSerializer[Workflow]):
    """One virtual actor. Its state is the `output/` of the workflow with its id, its calls are the `tasks/`."""

    actor_id = serializers.CharField(source="workflow_id")
    actor_class = serializers.CharField(source="actor")
    status = serializers.ChoiceField(
        choices=STATUSES, help_text="SUCCESSFUL while nobody calls it."
    )
    calls = TaskCountsSerializer(
        source="*", help_text="Calls, and the tasks that they continued as."
    )
    called_at = serializers.DateTimeField(source="changed_at")

    class Meta:
        model = Workflow
        fields = ("actor_id", "actor_class", "status", "calls", "created_at", "called_at")
        read_only_fields = fields


class ActorPage(serializers.Serializer[Any]):
    """A page of actors and how many match."""

    items = ActorSerializer(many=True)
    page = PageSerializer()
    count = CountSerializer()


class ActorList(ApiView):
    """The virtual actors."""

    @extend_schema(tags=["actors"], parameters=[ActorQuery], responses=ActorPage)
    def get(self, request: Request) -> Response:
        """List virtual actors, the one that was called last first unless `sort` says otherwise."""
        query = read_query(request, ActorQuery)
        matching = queries.actors(access.workflows_for(self.caller), q=query.get("q", ""))
        rows = matching.defer(*UNLISTED)
        page = paginate(rows, SORTS[query["sort"]], scope="actors", query=query)
        return Response(
            page.envelope(ActorSerializer(page.rows, many=True).data, capped_count(matching))
        )
