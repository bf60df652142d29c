"""``python -m tests.crash.large_program ADDRESS ROOT SIZE``: a large result beside a small workflow."""

from __future__ import annotations

import json
import sys

import ray

from rayflow import workflow
from tests.crash.test_large_results import large, one, total


def main(address: str, root: str, size: str) -> None:
    ray.init(address=address, namespace="rayflow", log_to_driver=False)
    workflow.init(root)
    ref = workflow.run_async(total.bind(large.bind(int(size), 2)), workflow_id="large")
    small = workflow.run(one.bind())
    answer = {"total": ray.get(ref), "small": small, "status": workflow.get_status("large")}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
