"""Measures how fast RayFlow is, beside plain Ray and beside its peers: ``make bench``.

Every figure is the median of several rounds, in which all take turns; the smallest and the largest stand beside
it. ``python benchmarks/run.py --quick --only engine --json FILE`` compares with plain Ray alone, in a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import report, side_by_side
from benchmarks.engine import Bench, Figures, cluster

QUICK = {"fan_out": 2_000, "chain": 200, "workflows": 300}
WHOLE = {"fan_out": 10_000, "chain": 1_000, "workflows": 2_000}
FULL = 100_000
OF_PEERS = {
    "fan_out": 500,
    "chain": 100,
    "workflows": 100,
}  # they take longer; what counts are rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and two rounds, within a minute"
    )
    parser.add_argument("--full", action="store_true", help="also the workflow of 100,000 tasks")
    parser.add_argument("--only", choices=["engine"], help="without the peers")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 2")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    peers: dict[str, dict[str, list[float]]] = {}
    sizes, begun = QUICK if chosen.quick else WHOLE, time.monotonic()
    if chosen.only:
        found = in_one_cluster(sizes, rounds, full=chosen.full)
    else:
        found, peers = with_peers(sizes, rounds)
    figures = {"machine": machine(), "rounds": rounds}
    figures |= {"seconds": round(time.monotonic() - begun, 1)}
    figures |= {name: round(statistics.median(values), 4) for name, values in found.items()}
    figures["spread"] = {name: [round(min(v), 4), round(max(v), 4)] for name, v in found.items()}
    show(figures)
    if peers:
        compare(figures, found, peers)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return 0


def in_one_cluster(sizes: dict[str, int], rounds: int, *, full: bool) -> dict[str, list[float]]:
    """RayFlow and plain Ray, in turn."""
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        return measure(Path(folder), sizes, rounds, full=full)


def with_peers(
    sizes: dict[str, int], rounds: int
) -> tuple[dict[str, list[float]], dict[str, dict[str, list[float]]]]:
    """RayFlow and plain Ray, then every peer, and all again; each round with processes of its own."""
    found: dict[str, list[float]] = defaultdict(list)
    peers: dict[str, dict[str, list[float]]] = {
        p.name: defaultdict(list) for p in side_by_side.PEERS
    }
    for peer in side_by_side.PEERS:
        peer.install()
    with side_by_side.database() as address:
        for _ in range(rounds):
            for name, values in in_one_cluster(sizes, 1, full=False).items():
                found[name] += values
            for peer in side_by_side.PEERS:
                database = address if peer.needs_database else None
                try:
                    figures = peer.measure(OF_PEERS, os.cpu_count() or 2, database)
                except subprocess.SubprocessError as error:
                    print(f"{peer.name} could not be measured: {error}", file=sys.stderr)
                    continue
                for name, value in figures.items():
                    peers[peer.name][name].append(value)
    return found, peers


def compare(
    figures: dict[str, Any],
    found: dict[str, list[float]],
    peers: dict[str, dict[str, list[float]]],
) -> None:
    """Keep the figures of this day, and put the table into the page."""
    plain = {
        "fanout_tasks_per_s": found["raw_ray_tasks_per_s"],
        "chain_ms_per_task": found["raw_ray_seq_ms"],
    }
    table = report.table({"RayFlow": found, "plain Ray, nothing stored": plain, **peers})
    report.publish(table)
    stored = report.store({**figures, "rounds_of_all": {"RayFlow": found, **peers}})
    print(f"{table}\n\n{stored}")


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
