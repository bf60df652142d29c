"""``python -m tests.crash.lost_program ADDRESS ROOT LEDGER FLAG``: large values on a node that dies.

Says "ready" when its engine runs, waits for a line, and then says what its workflows have come to.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ray

from rayflow import workflow
from tests.crash.ledger import note
from tests.crash.program import SAYS
from tests.waiting import until

LARGE = 200_000


@ray.remote(num_cpus=2)  # more than the head has
def large(ledger: str, name: str) -> bytes:
    note(Path(ledger), name)
    return name.encode()[:1] * LARGE


@ray.remote(num_cpus=0)
def gate(flag: str, values: list[Any]) -> None:
    until(Path(flag).exists, 120)


@ray.remote
def lengths(values: list[Any], direct: bytes, opened: None) -> list[int]:
    return [len(value) for value in [*ray.get(values), direct]]


def dag(ledger: str, flag: str, name: str, **options: Any) -> Any:
    produce = large.options(**workflow.options(**options))
    values = [produce.bind(ledger, f"{name}{n}") for n in range(5)]
    return lengths.bind(values[:4], values[4], gate.bind(flag, values))


def main() -> None:
    address, root, ledger, flag = sys.argv[1:]
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    workflow.init(root)
    print(SAYS, "ready", flush=True)
    sys.stdin.readline()
    refs = [
        workflow.run_async(dag(ledger, flag, "stored"), workflow_id="stored"),
        workflow.run_async(dag(ledger, flag, "not", checkpoint=False), workflow_id="not"),
    ]
    for ref in refs:
        print(SAYS, ray.get(ref), flush=True)


if __name__ == "__main__":
    main()
