"""What the large drawings of a workflow are made of: every task's place and status, in few bytes."""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any

from django.core.cache import cache
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.http import require_GET

from workflows_app import access, dag, dag_layout
from workflows_app.models import Task, Workflow
from workflows_app.pages.rendering import number_of, page
from workflows_app.problems import Invalid

# One letter per status, as the browser reads them.
LETTERS = {"PENDING": "p", "RUNNING": "r", "SUCCESSFUL": "s", "FAILED": "f", "CANCELED": "c"}
LARGEST = 100_000
KEEP_SECONDS = 3_600
READ_CHUNK = 10_000


@require_GET
@page
def graph_data(request: HttpRequest, workflow_id: str) -> HttpResponseBase:
    """Places, edges and statuses of all tasks; with ``?after=SEQ`` only statuses that changed since."""
    workflow = access.workflow_for(request.user, workflow_id)
    after = number_of(request.GET.get("after", ""))
    if after is not None:
        return JsonResponse(_changed(workflow, after))
    if workflow.tasks_total > LARGEST:
        raise Invalid(
            f"The workflow {workflow_id!r} has {workflow.tasks_total} tasks; at most {LARGEST} are drawn"
            " one by one. The summary and the table show all of them."
        )
    return JsonResponse(
        _shape(workflow) | {"statuses": statuses(workflow), "seq": workflow.event_seq}
    )


def _shape(workflow: Workflow) -> dict[str, Any]:
    """What does not change while no task is added."""
    key = f"rayflow:shape:{workflow.mark}:{workflow.tasks_total}"
    kept: dict[str, Any] | None = cache.get(key)
    if kept is None:
        whole = dag.read(workflow)
        places = dag_layout.lay_out(whole)
        kept = {
            "ids": whole.ids,
            "names": packed(whole.names),
            "titles": whole.titles,
            "xs": packed(places.xs),
            "ys": packed(places.ys),
            "edges": packed(dag_layout.pairs(whole)),
        }
        cache.set(key, kept, KEEP_SECONDS)
    return kept


def statuses(workflow: Workflow) -> str:
    """One letter per task, in the order of the DAG."""
    rows = Task.objects.filter(workflow=workflow).order_by("id").values_list("status", flat=True)
    return "".join(LETTERS.get(status, "p") for status in rows.iterator(READ_CHUNK))


def _changed(workflow: Workflow, after: int) -> dict[str, Any]:
    rows = Task.objects.filter(workflow=workflow, changed_seq__gt=after)
    return {
        "seq": workflow.event_seq,
        "total": workflow.tasks_total,
        "changed": {t: LETTERS.get(s, "p") for t, s in rows.values_list("task_id", "status")},
    }


def packed(numbers: array[Any]) -> str:
    """Numbers of four bytes each, little end first, as base64."""
    if sys.byteorder == "big":
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
