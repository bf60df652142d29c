"""``python -m tests.crash.await_nodes ADDRESS COUNT``: ends when the cluster has so many living nodes.

A process of its own, because Ray ends processes whose cluster has died.
"""

from __future__ import annotations

import sys
import time

import ray

if __name__ == "__main__":
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    while sum(node["Alive"] for node in ray.nodes()) != int(sys.argv[2]):
        time.sleep(0.1)
