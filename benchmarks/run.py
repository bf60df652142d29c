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

from benchmarks import engines, full, report, side_by_side
from benchmarks.engine import Bench, cluster, root, until_quiet
from benchmarks.kinds import KINDS, Figures

Found = dict[str, list[float]]

CPUS = os.cpu_count() or 2

QUICK = {"fan_out": 2_000, "chain": 200, "workflows": 300}
WHOLE = {"fan_out": 10_000, "chain": 5_000, "workflows": 2_000}
SMALL = {"fan_out": 1_000, "chain": 200}  # beside the whole ones: a task costs the same in both
FULL = 100_000
S3 = {"fan_out": 500, "chain": 50, "workflows": 100}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and two rounds, within a minute"
    )
    parser.add_argument(
        "--full", action="store_true", help="also what takes minutes: 100,000 tasks, S3"
    )
    parser.add_argument("--only", choices=["engine"], help="without the peers")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 2")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    found: Found = defaultdict(list)
    peers: dict[str, Found] = {}
    begun = time.monotonic()
    if chosen.quick:
        in_one_cluster(found, lambda bench: quick(bench, rounds, found))
    elif chosen.only:
        for _ in range(rounds):
            in_one_cluster(found, whole_round)
    else:
        with_peers(rounds, found, peers)
    if chosen.full or not (chosen.quick or chosen.only):
        add(found, everything_large())
        found |= engines.measure()
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


def add(found: Found, figures: Figures) -> None:
    """Put the figures of a round to those of the others."""
    for name, value in figures.items():
        found[name].append(value)


def in_one_cluster(found: Found, act: Callable[[Bench], Figures]) -> None:
    """Measure with processes of its own, on an empty storage."""
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder, cluster(Path(folder), CPUS):
        add(found, act(Bench()))


def quick(bench: Bench, rounds: int, found: Found) -> Figures:
    """What is compared alternates within a round."""
    for _ in range(rounds):
        add(found, three(bench, QUICK))
    return {}


def three(bench: Bench, sizes: dict[str, int]) -> Figures:
    """The three kinds of work that all peers do."""
    figures = bench.fan_out(sizes["fan_out"]) | bench.chain(sizes["chain"])
    number = sizes["workflows"]
    return figures | bench.workflows(number) | bench.workflow_runs(number)


def whole_round(bench: Bench) -> Figures:
    """Everything that is measured in every round."""
    figures = {
        "fanout_us_1k": 1e6 * bench.fan_out_alone(SMALL["fan_out"]) / SMALL["fan_out"],
        "chain_ms_200": 1e3 * bench.chain_alone(SMALL["chain"]) / SMALL["chain"],
    }
    figures |= three(bench, WHOLE)
    figures["fanout_us_10k"] = 1e6 / figures["fanout_tasks_per_s"]
    for kind in KINDS:
        until_quiet()
        figures |= bench.kind(kind, kind.size)
    return figures


def everything_large() -> Figures:
    """What is measured once."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder, cluster(Path(folder), CPUS):
        figures |= full.crash(FULL, Bench().new_id(), Path(folder) / "storage")
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder, cluster(Path(folder), CPUS):
        bench = Bench()
        figures["fanout_us_100k"] = 1e6 * bench.fan_out_alone(FULL) / FULL
        figures |= full.submission(FULL, bench.new_id())
        figures["continuations_10k_s"] = KINDS[-1].measure(bench.new_id(), 10_000)[
            "continuations_s"
        ]
        figures["workflows_per_s_empty"] = bench.workflows(1_000)["workflows_per_s"]
        with full.s3() as address, root(address("bench"), CPUS):
            figures |= {f"s3_{name}": value for name, value in three(bench, S3).items()}
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        full.fill(Path(folder) / "storage", FULL)
        with cluster(Path(folder), CPUS):
            figures["workflows_per_s_after_100k"] = Bench().workflows(1_000)["workflows_per_s"]
    return figures


def with_peers(rounds: int, found: Found, peers: dict[str, Found]) -> None:
    """RayFlow and plain Ray, then every peer, and all again; each round with processes of its own."""
    peers |= {peer.name: defaultdict(list) for peer in side_by_side.PEERS}
    for peer in side_by_side.PEERS:
        peer.install()
    with side_by_side.database() as address:
        for number in range(1, rounds + 1):
            in_one_cluster(found, whole_round)
            for peer in side_by_side.PEERS:
                database = address if peer.needs_database else None
                try:
                    add(peers[peer.name], peer.measure(CPUS, database))
                except subprocess.SubprocessError as error:
                    print(f"{peer.name} could not be measured: {error}", file=sys.stderr)
            print(f"round {number} of {rounds} is done", file=sys.stderr)


def compare(figures: dict[str, Any], found: Found, peers: dict[str, Found]) -> None:
    """Keep the figures of this day, and put tables and plots into the page."""
    plain = {
        "fanout_tasks_per_s": found["raw_ray_tasks_per_s"],
        "chain_ms_per_task": found["raw_ray_seq_ms"],
    }
    table = report.table({"RayFlow": found, "plain Ray, nothing stored": plain, **peers})
    report.publish("figures", table)
    report.publish("kinds", report.table_of_kinds(found))
    report.publish("large", report.table_of_the_large(found))
    report.publish("engines", engines.table(found))
    stored = report.store({**figures, "rounds_of_all": {"RayFlow": found, **peers}})
    side_by_side.draw(stored)
    print(f"{table}\n\n{stored}")


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
