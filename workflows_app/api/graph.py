"""The DAG of a workflow: every task while that can be drawn, else one node per task name."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import dag
from workflows_app.api import lookup
from workflows_app.api.base import ApiView
from workflows_app.api.shapes import TASK_STATUSES
from workflows_app.models import Task, Workflow

MAX_TASKS = 500
# A summary of more names than this would be as unreadable as the tasks themselves.
MAX_GROUPS = 500
MAX_EDGES = 5_000

Edge = tuple[str, str]


class NodeSerializer(serializers.Serializer[Any]):
    """A task, or in a summary all tasks of one name."""

    id = serializers.CharField(help_text="Task id; in a summary the task name.")
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=TASK_STATUSES, required=False)
    counts = serializers.DictField(
        child=serializers.IntegerField(), required=False, help_text="In a summary: by status."
    )


class EdgeSerializer(serializers.Serializer[Any]):
    """`target` takes values from `source`."""

    # DRF takes declared fields out of the class, so these names do not hide its attributes.
    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()
    count = serializers.IntegerField()


class GraphSerializer(serializers.Serializer[Any]):
    """Nodes and edges, never more than can be drawn; `truncated` says when some are missing."""

    mode = serializers.ChoiceField(choices=["full", "summary"])
    tasks_total = serializers.IntegerField()
    event_seq = serializers.IntegerField()
    truncated = serializers.BooleanField()
    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)


class WorkflowGraph(ApiView):
    """The graph of one workflow."""

    @extend_schema(tags=["tasks"], responses=GraphSerializer)
    def get(self, request: Request, workflow_id: str) -> Response:
        """Nodes and edges: tasks up to 500 of them, a summary by task name above."""
        workflow = lookup.find(request.user, workflow_id)
        full = workflow.tasks_total <= MAX_TASKS
        nodes, edges = tasks_and_edges(workflow) if full else names_and_edges(workflow)
        shown = {node["id"] for node in nodes[:MAX_GROUPS]}
        drawn = [(e, n) for e, n in edges.items() if e[0] in shown and e[1] in shown][:MAX_EDGES]
        body = {
            "mode": "full" if full else "summary",
            "tasks_total": workflow.tasks_total,
            "event_seq": workflow.event_seq,
            "truncated": len(nodes) > MAX_GROUPS or len(drawn) < len(edges),
            "nodes": nodes[:MAX_GROUPS],
            "edges": [{"source": s, "target": t, "count": n} for (s, t), n in drawn],
        }
        return Response(body)


def tasks_and_edges(workflow: Workflow) -> tuple[list[dict[str, Any]], Counter[Edge]]:
    """One node per task. Reads one task too many at most, should some have just been added."""
    rows = Task.objects.filter(workflow_id=workflow.pk).order_by("id")
    nodes: list[dict[str, Any]] = []
    edges: Counter[Edge] = Counter()
    columns = ("task_id", "name", "status", "upstream")
    for task_id, name, status, upstream in rows.values_list(*columns)[: MAX_TASKS + 1]:
        nodes.append({"id": task_id, "name": name, "status": status})
        edges.update((source, task_id) for source in upstream)
    return nodes, edges


def names_and_edges(workflow: Workflow) -> tuple[list[dict[str, Any]], Counter[Edge]]:
    """One node per task name with its tasks counted by status, the largest first."""
    counts: dict[str, dict[str, int]] = {}
    rows = workflow.tasks.order_by().values_list("name", "status").annotate(n=Count("id"))
    for name, status, number in rows:
        counts.setdefault(name, {})[status.lower()] = number
    largest_first = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    nodes = [{"id": name, "name": name, "counts": counts[name]} for name in largest_first]
    return nodes, dag.read(workflow).between_names(with_calls=False)
