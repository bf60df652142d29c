"""Many seeds on all processors."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.simulation.witness import Violation
from tests.simulation.world import simulate

CHUNK = 250


def violations(seeds: Sequence[int]) -> list[str]:
    """What was broken, over all ``seeds``; a line each."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    # Not forked: the parent may have threads. The children need nothing of it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _be_quick) as pool:
        return [line for lines in pool.map(_violations_of, chunks) for line in lines]


def first_violation(seeds: Iterable[int], about: str = "", **variant: Any) -> str:
    """The first thing that a variant of the engine breaks whose text says what it is ``about``."""
    for seed in seeds:
        try:
            simulate(seed, **variant)
        except Violation as violation:
            if about in str(violation):
                return str(violation)
    return "nothing was noticed"


def _violations_of(seeds: Sequence[int]) -> list[str]:
    found = [first_violation([seed]) for seed in seeds]
    return [line for line in found if line != "nothing was noticed"]


def _be_quick() -> None:
    """Look for garbage rarely: a run is short and leaves little. And no warnings on purpose."""
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
