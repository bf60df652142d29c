"""What the programs of all peers share: sizes, the clock, and the way the figures go out."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Work = Callable[[int], Any]
TOGETHER = 16  # workflows that are submitted at once


@dataclass(frozen=True)
class Sizes:
    """How many tasks side by side, how many one after the other, how many workflows of one task."""

    fan_out: int
    chain: int
    workflows: int
    cpus: int

    def measure(self, fan_out: Work, chain: Work, workflows: Work) -> dict[str, float]:
        """Tasks a second, milliseconds a link, and workflows a second."""
        return {
            "fanout_tasks_per_s": self.fan_out / _timed(fan_out, self.fan_out),
            "chain_ms_per_task": 1000 * _timed(chain, self.chain) / self.chain,
            "workflows_per_s": self.workflows / _timed(workflows, self.workflows),
        }


def measured(main: Callable[[Sizes, str], dict[str, float]]) -> None:
    """Run a peer's program: sizes come as arguments, figures go as the last line of standard output."""
    sizes = Sizes(*map(int, sys.argv[1:5]))
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        print("\n" + json.dumps(main(sizes, folder)), flush=True)


def _timed(work: Work, size: int) -> float:
    begun = time.perf_counter()
    work(size)
    return time.perf_counter() - begun
