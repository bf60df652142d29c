"""`/metrics`: numbers for Prometheus, from the registry alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from django.db.models import Count, Min, Sum
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.request import Request

from workflows_app import queries, rollups
from workflows_app.api.base import ApiView
from workflows_app.models import BulkItem, BulkItemState, Command, CommandState, Rollup

OPEN = (CommandState.QUEUED, CommandState.RUNNING)
OPEN_ITEMS = (BulkItemState.WAITING, BulkItemState.SENT)


class Metrics(ApiView):
    """The numbers; whoever may see the cluster may read them, with a session or a token."""

    permission: ClassVar[str | None] = "view_cluster"

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The text format of Prometheus."""
        registry = CollectorRegistry()
        registry.register(FromRegistry())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class FromRegistry(Collector):
    """Reads the numbers when they are asked for; every process gives the same."""

    def collect(self) -> Iterator[Metric]:
        """One family after the other, in a handful of statements."""
        yield self._workflows()
        yield from self._commands()
        yield from self._follower()

    def _workflows(self) -> Metric:
        family = GaugeMetricFamily(
            "rayflow_workflows",
            "Workflows by status and definition.",
            labels=["status", "definition"],
        )
        rows = Rollup.objects.filter(hour=rollups.EVER).order_by("definition", "status")
        counted = rows.values_list("status", "definition").annotate(n=Sum("workflows"))
        for status, definition, number in counted:
            family.add_metric([status, definition], number)
        return family

    def _commands(self) -> Iterator[Metric]:
        commands = Command.objects.filter(state__in=OPEN).order_by()
        family = GaugeMetricFamily(
            "rayflow_open_commands", "Commands that are not done yet.", labels=["kind"]
        )
        oldest = timezone.now()
        for row in commands.values("kind").annotate(n=Count("id"), first=Min("created_at")):
            family.add_metric([row["kind"]], row["n"])
            oldest = min(oldest, row["first"])
        yield family
        age = (timezone.now() - oldest).total_seconds()
        yield GaugeMetricFamily(
            "rayflow_oldest_open_command_seconds", "Age of the oldest open command.", value=age
        )
        items = BulkItem.objects.filter(state__in=OPEN_ITEMS).count()
        yield GaugeMetricFamily(
            "rayflow_open_bulk_items", "Workflows that bulk operations have yet to do.", value=items
        )

    def _follower(self) -> Iterator[Metric]:
        state = queries.follower()
        yield GaugeMetricFamily(
            "rayflow_engine_reachable",
            "1 if the engine answered.",
            value=int(state["engine_reachable"]),
        )
        if state["age_s"] is not None:
            yield GaugeMetricFamily(
                "rayflow_follower_age_seconds",
                "Since the follower last reported.",
                value=state["age_s"],
            )
