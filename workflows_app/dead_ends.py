"""Why a workflow does not move: tasks that ask for more than any machine of the cluster has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workflows_app import cluster_samples
from workflows_app.models import ClusterSample, Task, Workflow, WorkflowStatus

# Ray's option and the name of the resource that it asks for.
OPTIONS = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
MOST_NAMES = 200


@dataclass(frozen=True, slots=True)
class Unmet:
    """Tasks of a name need more of a resource than the best machine has."""

    name: str
    resource: str
    needed: float
    most: float

    @property
    def is_bytes(self) -> bool:
        return self.resource in cluster_samples.BYTES


def unmet(workflow: Workflow, groups: Iterable[Mapping[str, Any]]) -> list[Unmet]:
    """What keeps tasks of a running workflow from ever starting on the cluster as it is.

    One task of each name stands for all of them.

    Args:
        groups: as :func:`workflows_app.queries.task_groups` gives them.
    """
    if workflow.status not in (WorkflowStatus.PENDING, WorkflowStatus.RUNNING):
        return []
    waiting = [group["first_id"] for group in groups if group["pending"] + group["running"]]
    sample = cluster_samples.latest() if waiting else None
    if sample is None or not sample.nodes:
        return []
    rows = Task.objects.filter(pk__in=waiting[:MOST_NAMES]).values_list("name", "options")
    found = [_unmet_by(name, _asked(options), sample) for name, options in rows]
    return [each for each in found if each is not None]


def _asked(options: Any) -> dict[str, float]:
    """The resources that the options of a task ask for; whatever a broken journal holds, nothing raises."""
    ray = options.get("ray") if isinstance(options, dict) else None
    if not isinstance(ray, dict):
        return {}
    asked = {resource: ray.get(option) for option, resource in OPTIONS.items()}
    custom = ray.get("resources")
    asked |= custom if isinstance(custom, dict) else {}
    return {
        str(name): float(amount)
        for name, amount in asked.items()
        if isinstance(amount, int | float) and not isinstance(amount, bool) and amount > 0
    }


def _unmet_by(name: str, asked: Mapping[str, float], sample: ClusterSample) -> Unmet | None:
    alive = [node["resources"] for node in sample.nodes if node.get("is_alive")]
    if any(all(node.get(what, 0.0) >= amount for what, amount in asked.items()) for node in alive):
        return None
    for what, amount in asked.items():
        most = max((node.get(what, 0.0) for node in alive), default=0.0)
        if most < amount:
            return Unmet(name, what, amount, most)
    return None
