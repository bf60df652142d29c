"""Nodes and placement groups that options name: they belong to one cluster, a workflow does not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group_table
from ray.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)

logger = logging.getLogger("rayflow.engine")

_OF_GROUPS = (
    "placement_group",
    "placement_group_bundle_index",
    "placement_group_capture_child_tasks",
)


def here(task_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` without a node or placement group that this cluster has never had.

    Such a task was submitted in another cluster; it runs where Ray puts it, and a warning says so.

    Raises:
        ValueError: its placement group was in this cluster and has been removed. Ray would have it wait
            for ever.
    """
    strategy = options.get("scheduling_strategy")
    group = options.get("placement_group")
    if isinstance(strategy, PlacementGroupSchedulingStrategy):
        group = strategy.placement_group
    if isinstance(group, PlacementGroup):
        state = placement_group_table(group).get("state")
        if state == "REMOVED":
            raise ValueError(f"its placement group {group.id.hex()} has been removed")
        missing = f"placement group {group.id.hex()}" if state is None else None
    elif isinstance(strategy, NodeAffinitySchedulingStrategy):
        known = {node["NodeID"] for node in ray.nodes()}  # type: ignore[no-untyped-call]
        missing = None if strategy.node_id in known else f"node {strategy.node_id}"
    else:
        return dict(options)
    if missing is None:
        return dict(options)
    logger.warning(
        "Task '%s' asks for the %s, which is not of this cluster; Ray chooses where it runs.",
        task_id,
        missing,
    )
    return {k: v for k, v in options.items() if k not in ("scheduling_strategy", *_OF_GROUPS)}
