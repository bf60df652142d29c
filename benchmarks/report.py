"""What was measured, as a file for later and as the table of ``docs/performance.md``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

Rounds = Mapping[str, Sequence[float]]

COLUMNS = {
    "fanout_tasks_per_s": ("tasks side by side, a second", 0),
    "chain_ms_per_task": ("tasks one after the other, ms each", 1),
    "workflows_per_s": ("workflows of one task, a second", 0),
}


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


def publish(text: str) -> None:
    """Put ``text`` into the page, in the place of what was there."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "not measured"
    shown = [
        f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    ]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"
