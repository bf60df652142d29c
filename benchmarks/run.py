"""Measures how fast RayFlow is: ``python benchmarks/run.py --quick --only engine --json FILE``.

Every figure is the median of several rounds; the smallest and the largest stand beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.engine import Bench, Figures, cluster

QUICK = {"fan_out": 2_000, "chain": 200, "workflows": 300}
WHOLE = {"fan_out": 10_000, "chain": 1_000, "workflows": 2_000}
FULL = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and two rounds, within a minute"
    )
    parser.add_argument("--full", action="store_true", help="also the workflow of 100,000 tasks")
    parser.add_argument("--only", choices=["engine"], help="measure this part alone")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 2")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        found = measure(Path(folder), QUICK if chosen.quick else WHOLE, rounds, full=chosen.full)
    report = {"machine": machine(), "rounds": rounds, "seconds": round(time.monotonic() - begun, 1)}
    report |= {name: round(statistics.median(values), 4) for name, values in found.items()}
    report["spread"] = {name: [round(min(v), 4), round(max(v), 4)] for name, v in found.items()}
    show(report)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


def measure(
    folder: Path, sizes: dict[str, int], rounds: int, *, full: bool
) -> dict[str, list[float]]:
    """Every figure of every round; what is compared alternates within a round."""
    found: dict[str, list[float]] = defaultdict(list)

    def add(act: Callable[[int], Figures], size: int) -> None:
        for name, value in act(size).items():
            found[name].append(value)

    with cluster(folder, os.cpu_count() or 2):
        bench = Bench()
        for _ in range(rounds):
            add(bench.fan_out, sizes["fan_out"])
            add(bench.chain, sizes["chain"])
            add(bench.workflows, sizes["workflows"])
        if full:
            add(bench.resume, FULL)
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import ray

    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "ray": ray.__version__,
        "system": platform.system(),
    }


def show(report: dict[str, Any]) -> None:
    for name, (lowest, highest) in report["spread"].items():
        print(f"{name:24} {report[name]:12.3f}   {lowest:.3f} … {highest:.3f}")
    print(f"{report['rounds']} rounds in {report['seconds']} s")


if __name__ == "__main__":
    sys.exit(main())
