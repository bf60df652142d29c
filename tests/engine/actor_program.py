"""Queues calls of an actor and prints their values: ``python -m tests.engine.actor_program ADDRESS ID COUNT``."""

from __future__ import annotations

import json
import sys

import ray

from rayflow import workflow

if __name__ == "__main__":
    address, actor_id, count = sys.argv[1:]
    ray.init(address, log_to_driver=False)
    actor = workflow.get_actor(actor_id)
    print(json.dumps(ray.get([actor.incr.run_async() for _ in range(int(count))])), flush=True)
