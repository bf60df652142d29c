"""The state of the Ray cluster that this process is connected to, as Ray's own API tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ray

HEAD = "node:__internal_head__"
_RAYS_OWN = "ray.io/"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. Resources are totals; memory is in bytes."""

    node_id: str
    address: str
    is_alive: bool
    is_head: bool
    resources: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def nodes() -> list[Node]:
    """The machines, those that are gone included while Ray remembers them."""
    return [_node(each) for each in _asked(ray.nodes)]


def usage() -> dict[str, tuple[float, float]]:
    """How much of each resource is in use, and how much there is."""
    available = _asked(ray.available_resources)
    return {
        name: (max(0.0, total - available.get(name, 0.0)), total)
        for name, total in sorted(_asked(ray.cluster_resources).items())
        if not name.startswith("node:")
    }


def _asked(call: Any) -> Any:
    return call()  # Ray's functions have no types


def _node(told: dict[str, Any]) -> Node:
    resources = told.get("Resources") or {}
    labels = told.get("Labels") or {}
    return Node(
        node_id=str(told.get("NodeID", "")),
        address=str(told.get("NodeManagerAddress", "")),
        is_alive=bool(told.get("Alive")),
        is_head=HEAD in resources,
        resources={n: float(v) for n, v in resources.items() if not n.startswith("node:")},
        labels={name: text for name, text in labels.items() if not name.startswith(_RAYS_OWN)},
    )
