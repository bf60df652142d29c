"""Reading what :mod:`workflows_app.cluster_watch` has noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from workflows_app.models import ClusterSample

FRESH_WITHIN = timedelta(seconds=45)
SHOWN = timedelta(hours=6)
MOST_POINTS = 360
BYTES = frozenset({"memory", "object_store_memory"})
TITLES = {
    "CPU": "CPU cores",
    "GPU": "GPUs",
    "memory": "Memory promised to tasks",
    "object_store_memory": "Object store",
}


@dataclass(frozen=True, slots=True)
class Resource:
    """How much of a resource of the cluster is in use."""

    name: str
    title: str
    used: float
    total: float
    is_bytes: bool

    @property
    def percent(self) -> float:
        return min(100.0, 100 * self.used / self.total) if self.total else 0.0

    @property
    def level(self) -> str:
        """A status whose colour says how full it is."""
        return "failed" if self.percent >= 95 else "resumable" if self.percent >= 80 else "running"


def latest() -> ClusterSample | None:
    """The newest sample, if it is fresh."""
    return ClusterSample.objects.filter(time__gte=timezone.now() - FRESH_WITHIN).first()


def resources(sample: ClusterSample | None) -> list[Resource]:
    """The resources of the cluster, those that every cluster has first."""
    if sample is None:
        return []
    names = [name for name in TITLES if name in sample.resources]
    names += sorted(name for name in sample.resources if name not in TITLES)
    found = []
    for name in names:
        used, total = sample.resources[name]
        found.append(Resource(name, TITLES.get(name, name), used, total, name in BYTES))
    return found


def history() -> dict[str, Any]:
    """How full the cluster was over the last hours, thinned to what a chart can show.

    ``times`` in Unix seconds, and for each of the usual resources its ``values``, one per time, in percent
    or None.
    """
    samples = list(
        ClusterSample.objects.filter(time__gte=timezone.now() - SHOWN)
        .order_by("time")
        .values_list("time", "resources")
    )
    kept = samples[:: -(-len(samples) // MOST_POINTS)] if samples else []
    series = [{"name": title, "values": _percents(kept, name)} for name, title in TITLES.items()]
    return {
        "times": [round(time.timestamp()) for time, _ in kept],
        "series": [each for each in series if any(v is not None for v in each["values"])],
    }


def _percents(samples: Sequence[Any], name: str) -> list[float | None]:
    pairs = [resources.get(name) for _, resources in samples]
    return [round(100 * p[0] / p[1], 1) if p and p[1] else None for p in pairs]
