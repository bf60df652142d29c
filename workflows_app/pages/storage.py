"""``/storage/``: what is kept, how old it is, and what a clean-up would remove."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from workflows_app import access, queries, rollups
from workflows_app.gateway import EngineProblem, Usage, gateway
from workflows_app.models import Definition, FollowerState, Rollup, Workflow, WorkflowStatus
from workflows_app.pages.rendering import page, show

AGES = (("Today", 1), ("This week", 7), ("This month", 30), ("This year", 365), ("Older", None))
ENDED = (WorkflowStatus.SUCCESSFUL, WorkflowStatus.FAILED, WorkflowStatus.CANCELED)
MOST_DEFINITIONS = 200
# A page measures so many workflows, for so long.
MOST_MEASURED = 200
MEASURE_SECONDS = 2.0


class CleanUpForm(forms.Form):
    """Which workflows a clean-up would remove."""

    days = forms.IntegerField(
        min_value=0, max_value=36_500, initial=30, label="Ended more than … days ago"
    )
    status = forms.MultipleChoiceField(
        choices=[(status.value, status.label) for status in ENDED],
        initial=[WorkflowStatus.SUCCESSFUL.value],
        label="And are",
    )
    definition = forms.CharField(required=False, max_length=200, label="Of the definition")


@dataclass(frozen=True, slots=True)
class Measured:
    """How much the storage holds for some workflows: of ``workflows``, the first in order of their end."""

    workflows: int
    files: int
    bytes: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a clean-up would remove."""

    count: int
    is_exact: bool
    measured: Measured
    oldest: list[Workflow]
    query: str

    @property
    def is_measured_whole(self) -> bool:
        return self.is_exact and self.measured.workflows == self.count


@require_GET
@page
def storage(request: HttpRequest) -> HttpResponseBase:
    """The workflows by definition and age, and the preview of a clean-up if one is described."""
    access.require(request.user, "view_cluster")
    asked = "days" in request.GET
    form = CleanUpForm(request.GET if asked else None)
    preview = _preview(request, form.cleaned_data) if asked and form.is_valid() else None
    context = {
        "form": form,
        "preview": preview,
        "ages": [title for title, _ in AGES],
        "rows": by_definition_and_age(),
        "state": FollowerState.objects.filter(id=1).first(),
        "definitions": Definition.objects.values_list("name", flat=True)[:MOST_DEFINITIONS],
        "may_delete": access.can(request.user, "delete_workflow")
        and access.can(request.user, "bulk"),
    }
    return show(
        request, "pages/storage.html", context, status=400 if asked and form.errors else 200
    )


def by_definition_and_age() -> list[dict[str, Any]]:
    """How many workflows there are by definition, and by when they were created; from the rollups."""
    now = timezone.now()
    found: dict[str, list[int]] = {}
    newer_than = now + timedelta(hours=1)
    for at, (_, days) in enumerate(AGES):
        rows = Rollup.objects.filter(hour__lt=newer_than).exclude(hour=rollups.EVER)
        if days is not None:
            newer_than = now - timedelta(days=days)
            rows = rows.filter(hour__gte=newer_than)
        counted = rows.values("definition").annotate(n=Sum("workflows")).order_by("definition")
        for row in counted[:MOST_DEFINITIONS]:
            found.setdefault(row["definition"], [0] * len(AGES))[at] += row["n"]
    counted_all = [{"definition": d, "counts": n, "total": sum(n)} for d, n in found.items()]
    return sorted(counted_all, key=lambda row: -row["total"])


def _preview(request: HttpRequest, chosen: dict[str, Any]) -> Preview:
    before = timezone.now() - timedelta(days=chosen["days"])
    statuses, definition = chosen["status"], chosen["definition"].strip()
    rows = access.workflows_for(request.user).filter(finished_at__lt=before, status__in=statuses)
    if definition:
        rows = rows.filter(definition=definition)
    rows = rows.order_by("finished_at", "pk")
    count, is_exact = queries.capped_count(rows)
    terms = [f"finished:<-{chosen['days']}d", f"status:[{','.join(statuses)}]"]
    if definition:
        terms.append(f'definition:"{definition}"')
    query = urlencode({"q": " ".join(terms), "everything": 1, "kind": "delete"})
    return Preview(
        count=count,
        is_exact=is_exact,
        measured=measure(rows),
        oldest=list(rows.only("workflow_id", "status", "finished_at")[:10]),
        query=f"{reverse('bulk-new')}?{query}",
    )


def measure(rows: QuerySet[Workflow]) -> Measured:
    """Add up what the storage holds for the first of these workflows, for a limited time."""
    until = time.monotonic() + MEASURE_SECONDS
    files = size = done = 0
    for workflow_id in rows.values_list("workflow_id", flat=True)[:MOST_MEASURED]:
        if time.monotonic() > until:
            break
        try:
            usage: Usage = gateway().usage(workflow_id)
        except EngineProblem as problem:
            return Measured(done, files, size, problem.detail)
        files, size, done = files + usage.files, size + usage.bytes, done + 1
    return Measured(done, files, size)
