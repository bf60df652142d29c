"""What was measured, as a file for later and as the table of ``docs/performance.md``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.kinds import KINDS

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "performance.md"
Rounds = Mapping[str, Sequence[float]]

COLUMNS = {
    "fanout_tasks_per_s": ("tasks side by side, a second", 0),
    "chain_ms_per_task": ("tasks one after the other, ms each", 1),
    "workflows_per_s": ("workflows of one task, a second", 0),
}
LARGE = {
    "fanout_us_1k": ("µs a task, 1,000 side by side", 0),
    "fanout_us_10k": ("µs a task, 10,000 side by side", 0),
    "fanout_us_100k": ("µs a task, 100,000 side by side", 0),
    "chain_ms_200": ("ms a link, 200 one after the other", 2),
    "chain_ms_per_task": ("ms a link, 5,000 one after the other", 2),
    "submit_ms_p50": ("ms for one submission of a workflow of one task (median)", 1),
    "workflow_runs_per_s": ("workflows of one task a second, whose threads wait for each", 0),
    "workflows_per_s_empty": ("workflows of one task a second, empty storage", 0),
    "workflows_per_s_after_100k": ("workflows of one task a second, beside 100,000 that have ended", 0),
    "submit_100k_s": ("s until a graph of 100,000 tasks is accepted", 1),
    "resume_100k_s": ("s from a kill of the engine at 50,000 of 100,000 tasks to the next task", 1),
    "engine_rss_mb_100k": ("MiB that the engine grows meanwhile, at most", 0),
    "continuations_10k_s": ("s for 10,000 continuations", 0),
    "s3_fanout_tasks_per_s": ("tasks a second on an S3 server, 500 side by side", 0),
    "s3_chain_ms_per_task": ("ms a link on an S3 server", 0),
    "s3_workflows_per_s": ("workflows of one task a second on an S3 server", 0),
}  # fmt: skip


def store(report: Mapping[str, Any]) -> Path:
    """Write the whole report below ``benchmarks/results``, named after today."""
    folder = CHECKOUT / "benchmarks" / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return path


def table(systems: Mapping[str, Rounds]) -> str:
    """A row for each system: the median of its rounds, the smallest and the largest beside it."""
    head = ["| |", *(f" {title} |" for title, _ in COLUMNS.values())]
    lines = ["".join(head), "|---|" + "---:|" * len(COLUMNS)]
    for name, rounds in systems.items():
        cells = [_cell(rounds.get(key, ()), digits) for key, (_, digits) in COLUMNS.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_kinds(rounds: Rounds) -> str:
    """A row for each other kind of work."""
    lines = [
        "| | RayFlow, s | plain Ray, s | engine: s of processor, MiB | workers: s of processor, MiB |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in KINDS:
        cells = [_cell(rounds.get(f"{kind.name}_{what}", ()), 2) for what in ("s", "plain_s")]
        for role in ("engine", "worker"):
            units = (f"{kind.name}_{role}_cpu_s", 1), (f"{kind.name}_{role}_mb", 0)
            cells.append(", ".join(_median(rounds.get(key, ()), digits) for key, digits in units))
        lines.append(f"| {kind.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_of_the_large(rounds: Rounds) -> str:
    """What is measured once, or at several sizes."""
    lines = ["| | |", "|---|---:|"]
    for key, (title, digits) in LARGE.items():
        lines.append(f"| {title} | {_median(rounds.get(key, ()), digits)} |")
    return "\n".join(lines)


def publish(name: str, text: str) -> None:
    """Put ``text`` into the page, in the place of what was there by this name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = PAGE.read_text("utf-8").partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def _median(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f}" if values else "not measured"


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "not measured"
    shown = [
        f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    ]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"
