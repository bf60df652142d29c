"""``python -m tests.engine.seed_program ADDRESS start|resume ROOT FLAG``: five workflows, two at once.

``start`` prints how many run and wait, and stays; ``resume`` prints what it found and what came out.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import ray

from rayflow import workflow


@ray.remote(num_cpus=0)
def gate(flag: str) -> int:
    Path(f"{flag}-started").touch()
    while not Path(flag).exists():
        time.sleep(0.02)
    return 3


def main(address: str, command: str, root: str, flag: str) -> None:
    ray.init(address=address, namespace="rayflow", log_to_driver=False)
    workflow.init(root, max_running_workflows=2, max_pending_workflows=3)
    if command == "start":
        for number in range(5):
            workflow.run_async(gate.bind(flag), workflow_id=f"w{number}")
        print(json.dumps(Counter(status for _, status in workflow.list_all())), flush=True)
        sys.stdin.read()
        return
    before = [status for _, status in workflow.list_all()]
    resumed = workflow.resume_all()
    values = ray.get([ref for _, ref in resumed])
    print(json.dumps({"before": before, "resumed": [i for i, _ in resumed], "values": values}))


if __name__ == "__main__":
    main(*sys.argv[1:])
