"""Which failures need nobody any more: somebody has resolved them, or a fork of the workflow has succeeded.

What follows from other rows is worked out here for both sides, in whatever order they come: the origin of a
fork may be read before the fork or after it.
"""

from __future__ import annotations

from collections.abc import Collection

from workflows_app import after_commit
from workflows_app.models import Resolution, Workflow, WorkflowStatus
from workflows_app.record_kinds import FAILING
from workflows_app.rollups import Changes, Counted


def refresh(workflow_ids: Collection[str]) -> None:
    """Bring ``resolved`` and ``superseded_by`` of these workflows up to date, inside a transaction."""
    if not workflow_ids:
        return
    forks = _successful_forks(workflow_ids)
    said = dict(
        Resolution.objects.filter(workflow_id__in=workflow_ids).values_list(
            "workflow_id", "status_seq"
        )
    )
    counts, changed = Changes(), []
    for workflow in Workflow.objects.filter(workflow_id__in=workflow_ids):
        before = Counted.of(workflow)
        fork = forks.get(workflow.workflow_id)
        is_over = fork is not None or said.get(workflow.workflow_id) == workflow.status_seq
        resolved = workflow.status in FAILING and is_over
        if (workflow.superseded_by, workflow.resolved) == (fork, resolved):
            continue
        workflow.superseded_by, workflow.resolved = fork, resolved
        counts.left(before)
        counts.came(Counted.of(workflow))
        changed.append(workflow)
    Workflow.objects.bulk_update(changed, ["superseded_by", "resolved"])
    counts.save()
    if changed:
        bells = {f"workflow:{workflow.workflow_id}": 0 for workflow in changed}
        after_commit.ring({"list": 0, "overview": 0, **bells})


def concerned(workflows: Collection[Workflow]) -> set[str]:
    """The ids of those for whom it matters that these have changed."""
    failing = {w.workflow_id for w in workflows if w.status in FAILING}
    return failing | {w.forked_from for w in workflows if w.forked_from is not None}


def _successful_forks(workflow_ids: Collection[str]) -> dict[str, str]:
    """The latest successful fork of each of these that has one."""
    found = (
        Workflow.objects.filter(forked_from__in=workflow_ids, status=WorkflowStatus.SUCCESSFUL)
        .order_by("created_at", "id")
        .values_list("forked_from", "workflow_id")
    )
    return {origin: fork for origin, fork in found if origin is not None}
