"""The state of the Ray cluster, as Ray's own API tells it."""

from __future__ import annotations

from typing import Any

import ray

from workflows_app.gateway import ClusterReport, NodeReport

HEAD = "node:__internal_head__"


def report() -> ClusterReport:
    """The nodes and the resources of the cluster that this process is connected to."""
    totals, available = _asked(ray.cluster_resources), _asked(ray.available_resources)
    return ClusterReport(
        nodes=[_node(each) for each in _asked(ray.nodes)],
        resources={
            name: (max(0.0, total - available.get(name, 0.0)), total)
            for name, total in sorted(totals.items())
            if not name.startswith("node:")
        },
    )


def _asked(call: Any) -> Any:
    return call()  # Ray's functions have no types


def _node(told: dict[str, Any]) -> NodeReport:
    resources = told.get("Resources") or {}
    return NodeReport(
        node_id=str(told.get("NodeID", "")),
        address=str(told.get("NodeManagerAddress", "")),
        is_alive=bool(told.get("Alive")),
        is_head=HEAD in resources,
        resources={n: float(v) for n, v in resources.items() if not n.startswith("node:")},
        labels={k: v for k, v in (told.get("Labels") or {}).items() if not k.startswith("ray.io/")},
    )
