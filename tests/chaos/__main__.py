"""``python -m tests.chaos``: random kills for half an hour. ``make chaos`` calls it."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import Chaos


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long to kill")
    parser.add_argument("--workflows", type=int, default=300, help="how many to submit")
    parser.add_argument("--engines", type=int, default=1, help="how many share the root")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--short", action="store_true", help="each kind of kill once or twice")
    chosen = parser.parse_args()
    begun = time.monotonic()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="rf-chaos-") as folder:
        run = Chaos(
            Path(folder), workflows=chosen.workflows, seconds=60 * chosen.minutes,
            seed=chosen.seed, short=chosen.short, engines=chosen.engines,
        )  # fmt: skip
        verdict = run.run()
    for problem in verdict.problems:
        print(f"seed {chosen.seed}: {problem}", file=sys.stderr)
    kills = ", ".join(f"{kind} {count}" for kind, count in sorted(run.kills.items()))
    print(
        f"chaos: {'FAILED' if verdict.problems else 'passed'}, seed {chosen.seed}, "
        f"{chosen.workflows} workflows, kills: {kills or 'none'}; {verdict.executions} executions of "
        f"{verdict.tasks} tasks, {verdict.by_overtaken} of them by engines that were overtaken; "
        f"{time.monotonic() - begun:.0f} s"
    )
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
