"""Draws the plots of ``docs/performance.md`` from stored figures: ``python benchmarks/plots.py FIGURES.json``."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "rayflow", "font.size": 10, "svg.fonttype": "none"}

from matplotlib import pyplot  # noqa: E402

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
OWN, OTHER = "#2f6fde", "#9aa4b2"
SHOWN = {
    "fanout_tasks_per_s": ("Tasks side by side", "a second; more is better"),
    "chain_ms_per_task": ("Tasks one after the other", "ms each; less is better"),
    "workflows_per_s": ("Workflows of one task", "a second; more is better"),
}


def main() -> None:
    stored = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    systems: dict[str, dict[str, list[float]]] = stored["rounds_of_all"]
    own = systems["RayFlow"]
    plain = {
        "fanout_tasks_per_s": own["raw_ray_tasks_per_s"],
        "chain_ms_per_task": own["raw_ray_seq_ms"],
    }
    compared = {"RayFlow": own, "plain Ray": plain, **systems}
    figure, axes = pyplot.subplots(1, len(SHOWN), figsize=(11, 3.2), layout="constrained")
    for axis, key in zip(axes, SHOWN, strict=True):
        bars(axis, key, {name: rounds[key] for name, rounds in compared.items() if key in rounds})
    save(figure, "performance-peers.svg")
    flat(own)


def bars(axis: Any, key: str, rounds: dict[str, list[float]]) -> None:
    """A bar for each system, on a scale by powers of ten, with the spread of its rounds."""
    names = list(rounds)[::-1]
    middles = [statistics.median(rounds[name]) for name in names]
    spread = [
        [m - min(rounds[n]) for n, m in zip(names, middles, strict=True)],
        [max(rounds[n]) - m for n, m in zip(names, middles, strict=True)],
    ]
    colours = [OWN if name == "RayFlow" else OTHER for name in names]
    axis.barh(names, middles, xerr=spread, color=colours, ecolor="#444", capsize=2)
    axis.set_xscale("log")
    axis.set_xlim(min(middles) / 3, max(middles) * 6)
    for place, middle in enumerate(middles):
        axis.text(middle * 1.25, place, f"{middle:,.3g}", va="center", fontsize=9)
    title, unit = SHOWN[key]
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_xlabel(unit)
    axis.spines[["top", "right"]].set_visible(False)


def flat(own: dict[str, list[float]]) -> None:
    """What a task costs in workflows of growing size."""
    keys = [key for key in ("fanout_us_1k", "fanout_us_10k", "fanout_us_100k") if key in own]
    sizes = ["1,000", "10,000", "100,000"][: len(keys)]
    figure, axis = pyplot.subplots(figsize=(5.5, 2.8), layout="constrained")
    axis.plot(sizes, [statistics.median(own[key]) for key in keys], marker="o", color=OWN)
    axis.set_ylim(bottom=0)
    axis.set_title("What a task costs", loc="left", fontweight="bold")
    axis.set_ylabel("µs a task")
    axis.set_xlabel("tasks side by side")
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, "performance-flat.svg")


def save(figure: Any, name: str) -> None:
    figure.savefig(IMAGES / name, metadata={"Date": None})
    pyplot.close(figure)


main()
