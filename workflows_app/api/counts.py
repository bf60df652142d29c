"""How many workflows match a query, and how they spread over statuses and definitions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Count, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import access, queries
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import CountSerializer, capped_count
from workflows_app.api.workflows import WorkflowFilters
from workflows_app.models import Workflow
from workflows_app.problems import Problem

EXACT_SECONDS = 5.0
MOST_VALUES = 50


class CountTooExpensive(Problem):
    """An exact count took too long."""

    status = 422
    default_code = "count_too_expensive"
    title = "The count takes too long"


class CountQuery(WorkflowFilters):
    """What to count."""

    exact = serializers.BooleanField(
        default=False,
        help_text=f"Count beyond {queries.COUNT_CAP:,}, for {EXACT_SECONDS:.0f} s at most.",
    )


class FacetsSerializer(serializers.Serializer[Any]):
    """How matching workflows spread; of many, the first ones in the list's order are looked at."""

    looked_at = CountSerializer()
    status = serializers.DictField(child=serializers.IntegerField())
    definition = serializers.DictField(child=serializers.IntegerField())
    created_by = serializers.DictField(child=serializers.IntegerField())


class WorkflowCounts(ApiView):
    """A count."""

    @extend_schema(tags=["workflows"], parameters=[CountQuery], responses=CountSerializer)
    def get(self, request: Request) -> Response:
        """Count matching workflows: up to 10,000, or exactly."""
        query = read_query(request, CountQuery)
        exact = query.pop("exact")
        matching = _matching(self, query)
        if not exact:
            return Response(capped_count(matching))
        with _within(EXACT_SECONDS):
            return Response({"value": matching.order_by().count(), "relation": "eq"})


class WorkflowFacets(ApiView):
    """Counts by value."""

    @extend_schema(tags=["workflows"], parameters=[WorkflowFilters], responses=FacetsSerializer)
    def get(self, request: Request) -> Response:
        """How matching workflows spread over statuses, definitions and accounts."""
        matching = _matching(self, read_query(request, WorkflowFilters))
        latest = matching.order_by("-created_at", "-id").values("pk")[: queries.COUNT_CAP]
        rows = Workflow.objects.filter(pk__in=latest)
        body = {name: _by(rows, name) for name in ("status", "definition", "created_by")}
        return Response({"looked_at": capped_count(matching), **body})


def _matching(view: ApiView, filters: dict[str, Any]) -> QuerySet[Workflow]:
    filters["may_see_payload"] = access.can(view.caller, "view_payload")
    return queries.search(access.workflows_for(view.caller), **filters)


def _by(rows: QuerySet[Workflow], field: str) -> dict[str, int]:
    found = rows.order_by().values_list(field).annotate(n=Count("pk")).order_by("-n", field)
    return {str(value): n for value, n in found[:MOST_VALUES] if value}


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Have the database give up after ``seconds``.

    Raises:
        CountTooExpensive: it has.
    """
    try:
        with transaction.atomic(), _limited(seconds):
            yield
    except DatabaseError as error:
        raise CountTooExpensive(
            f"Counting took more than {seconds:.0f} s; narrow the query, or ask without exact=true."
        ) from error


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
        yield
        return
    alarm = Timer(seconds, connection.connection.interrupt)
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
