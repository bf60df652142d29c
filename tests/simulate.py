"""Simulated runs by their seeds: ``python -m tests.simulate 12345``, or a range, ``0..100000``."""

from __future__ import annotations

import sys
import time

from tests.simulation.many import violations


def main(words: list[str]) -> int:
    """Run what is asked for, print what was broken; the exit status tells whether anything was."""
    seeds: list[int] = []
    for word in words:
        first, _, end = word.partition("..")
        seeds += range(int(first), int(end) if end else int(first) + 1)
    begun = time.monotonic()
    broken = violations(seeds)
    for line in broken:
        print(line)
    print(f"{len(seeds)} runs, {len(broken)} broken, {time.monotonic() - begun:.1f} s")
    return 1 if broken or not seeds else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
