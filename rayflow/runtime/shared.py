"""Whether every node sees the root that the engine writes to, also those that join later."""

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


class Nodes:
    """The nodes of the cluster, each asked once whether it sees the engine's marker."""

    def __init__(self, address: str, instance: str) -> None:
        self._address, self._instance = address, instance
        self._asked = {ray.get_runtime_context().get_node_id()}

    async def refusals(self) -> list[str]:
        """Why the nodes that were not asked before do not see the root, for those that do not.

        A node that dies or does not answer meanwhile is logged and passed over: it is not known to
        be wrong, and waiting for it would hold up everybody.
        """
        nodes: list[dict[str, Any]] = await asyncio.to_thread(ray.nodes)
        new = [node for node in nodes if node["Alive"] and node["NodeID"] not in self._asked]
        self._asked.update(node["NodeID"] for node in new)
        answers = await asyncio.gather(*(_ask(node, self._address, self._instance) for node in new))
        return [answer for answer in answers if answer is not None]


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
