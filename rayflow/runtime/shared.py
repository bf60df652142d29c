"""Whether every node sees the root that the engine writes to."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayflow.errors import StorageError
from rayflow.storage.root import check_shared

logger = logging.getLogger("rayflow.engine")

ANSWER_SECONDS = 60.0  # a worker must start first, perhaps with packages to install


async def check_nodes(address: str, instance: str) -> None:
    """Let every other node that is alive read the engine's marker.

    A node that dies or does not answer meanwhile is logged and passed over: it is not known to be
    wrong, and waiting for it would hold up everybody.

    Raises:
        StorageError: a node does not see the root; the text names it.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    others = [node for node in nodes if node["Alive"] and node["NodeID"] != here]
    answers = await asyncio.gather(*(_ask(node, address, instance) for node in others))
    for refusal in filter(None, answers):
        raise StorageError(refusal)


async def _ask(node: dict[str, Any], address: str, instance: str) -> str | None:
    where = f"node {node['NodeManagerAddress']}"
    task = ray.remote(_refusal).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
    )
    try:
        ref = task.remote(address, instance, where)
        answer: str | None = await asyncio.wait_for(ref, ANSWER_SECONDS)
    except (ray.exceptions.RayError, TimeoutError) as error:
        logger.warning("%s was not asked whether it sees the storage: %r", where, error)
        return None
    return answer


def _refusal(address: str, instance: str, where: str) -> str | None:
    """Runs on the node: why it cannot be used, if it cannot."""
    try:
        check_shared(address, instance, where)
    except StorageError as error:
        return str(error)
    return None
