"""How throughput grows with the number of engines of a root, and where that ends.

Measured is what this machine makes of one, two and three engines, and the processor time that engines and
all others take. From that follows what more processors would allow: an engine is one Python process, so it
has one of them at most, and all processes together have no more than there are.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ray

from benchmarks import work
from benchmarks.engine import Bench
from benchmarks.kinds import Figures, timed
from benchmarks.usage import watched
from rayflow import api, workflow
from rayflow.config import NAMESPACE
from rayflow.runtime.peers import engine_name

COUNTS = (1, 2, 3)
CORES = (2, 8, 32)  # that the figures are carried over to
WORKFLOWS = 1_500
WARM_UP = 300
WIDE = 8, 1_000  # workflows, and tasks of each
ROUNDS = 2
# Each engine has workers of its own, of which Ray ends those that rest for a second.
KEPT = {"idle_worker_killing_time_threshold_ms": 60_000}


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time for one workflow of one task: of its engine, and of all other processes."""

    engine: float
    others: float

    def allowed(self, engines: int, cores: int) -> float:
        """Workflows a second that ``engines`` on so many ``cores`` can do at most."""
        return min(engines / self.engine, cores / (self.engine + self.others))

    def enough(self, cores: int) -> int:
        """How many engines use all ``cores``; more do not help."""
        return next(
            n for n in range(1, cores + 2) if self.allowed(n, cores) == self.allowed(n + 1, cores)
        )


def measure() -> dict[str, list[float]]:
    """Figures of all rounds; the numbers of engines take turns."""
    found: dict[str, list[float]] = defaultdict(list)
    cpus = os.cpu_count() or 2
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        temporary = str(Path(folder) / "ray")
        ray.init(
            num_cpus=cpus,
            log_to_driver=False,
            include_dashboard=False,
            _temp_dir=temporary,
            _system_config=KEPT,
        )
        try:
            for round_ in range(ROUNDS):
                for count in COUNTS:
                    figures = _with(count, str(Path(folder) / f"{round_}-{count}"))
                    for name, value in figures.items():
                        found[name].append(value)
        finally:
            ray.shutdown()
    return found


def table(rounds: Mapping[str, Sequence[float]]) -> str:
    """A row for each number of engines that was measured, and for those that larger machines have use for."""
    costs = costs_of(rounds)
    numbers = sorted({*COUNTS, *(costs.enough(cores) for cores in CORES)})
    titles = [f"allowed by {cores} cores" for cores in CORES]
    lines = [
        "| engines | workflows of one task a second | tasks a second, eight workflows of 1,000 | "
        + " | ".join(titles)
        + " |",
        "|---:|---:|---:|" + "---:|" * len(CORES),
    ]
    for number in numbers:
        cells = [
            f"{statistics.median(values):,.0f}"
            if (values := rounds.get(f"{what}_{number}"))
            else ""
            for what in ("engines_workflows_per_s", "engines_tasks_per_s")
        ]
        cells += [f"{costs.allowed(number, cores):,.0f}" for cores in CORES]
        lines.append(f"| {number} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def costs_of(rounds: Mapping[str, Sequence[float]]) -> Costs:
    """What one workflow takes, where one engine is all there is."""
    engine, others = (
        statistics.median(rounds[f"engines_{role}_cpu_ms"]) / 1000 for role in ("engine", "other")
    )
    return Costs(engine, others)


def _with(count: int, storage: str) -> Figures:
    workflow.init(storage, engines=count)
    bench = Bench()
    bench.workflows(WARM_UP)
    _wide(bench)
    with watched() as usage:
        figures = {
            f"engines_workflows_per_s_{count}": bench.workflows(WORKFLOWS)["workflows_per_s"]
        }
    if count == 1:
        engine = usage.seconds["engine"]
        figures["engines_engine_cpu_ms"] = 1e3 * engine / WORKFLOWS
        figures["engines_other_cpu_ms"] = 1e3 * (sum(usage.seconds.values()) - engine) / WORKFLOWS
    figures[f"engines_tasks_per_s_{count}"] = WIDE[0] * WIDE[1] / timed(lambda: _wide(bench))
    api.disconnect()
    for number in reversed(range(count)):
        with suppress(ValueError):
            actor = ray.get_actor(engine_name(storage, number), namespace=NAMESPACE)
            ray.kill(actor, no_restart=True)
    return figures


def _wide(bench: Bench) -> None:
    graphs = [work.fan_out(WIDE[1]) for _ in range(WIDE[0])]
    ray.get([workflow.run_async(graph, workflow_id=bench.new_id()) for graph in graphs])


if __name__ == "__main__":
    print(table(measure()))
