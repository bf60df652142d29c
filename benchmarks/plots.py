"""Draws the plots of ``docs/performance.md`` from stored figures: ``python benchmarks/plots.py FIGURES.json``."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "rayflow", "font.size": 10, "svg.fonttype": "path"}

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
        bars(axis, key, {name: rounds.get(key, []) for name, rounds in compared.items()})
    for axis in axes[1:]:
        axis.set_yticklabels([])
    save(figure, "performance-peers.svg")
    flat(own)


def bars(axis: Any, key: str, rounds: dict[str, list[float]]) -> None:
    """A bar for each system, on a scale by powers of ten, with the spread of its rounds."""
    names = list(rounds)[::-1]
    for place, values in enumerate(rounds[name] for name in names):
        if not values:
            where = axis.get_yaxis_transform()
            axis.text(0.02, place, "not measured", va="center", fontsize=8, transform=where)
            continue
        middle, least, most = statistics.median(values), min(values), max(values)
        colour = OWN if names[place] == "RayFlow" else OTHER
        spread = [[middle - least], [most - middle]]
        axis.barh(place, middle, xerr=spread, color=colour, ecolor="#444", capsize=2)
        shown = f"{middle:,.0f}" if middle >= 10 else f"{middle:,.1f}"
        axis.text(most * 1.2, place, shown, va="center", fontsize=9)
    found = [statistics.median(values) for values in rounds.values() if values]
    axis.set_yticks(range(len(names)), names)
    axis.set_xscale("log")
    axis.set_xlim(min(found) / 3, max(found) * 8)
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
    axis.set_ylim(bottom=0, top=1.15 * max(statistics.median(own[key]) for key in keys))
    axis.set_title("What a task costs", loc="left", fontweight="bold")
    axis.set_ylabel("µs a task")
    axis.set_xlabel("tasks side by side")
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, "performance-flat.svg")


def save(figure: Any, name: str) -> None:
    figure.savefig(IMAGES / name, metadata={"Date": None})
    pyplot.close(figure)


main()
