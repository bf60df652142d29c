"""What a resume or a fork would do, as a bounded document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_SHOWN = 1_000


def describe(
    reused: Sequence[str], runs: Sequence[str], missing: Sequence[str] = ()
) -> dict[str, Any]:
    """Three parts, each with its number and the first of its members.

    ``reuse`` are tasks whose outcome is kept, ``run`` those that run, and ``blocked`` sentences about
    what these need and the storage does not have.
    """
    parts = {"reuse": reused, "run": runs, "blocked": missing}
    return {
        name: {
            "count": len(members),
            "items": list(members[:MOST_SHOWN]),
            "truncated": len(members) > MOST_SHOWN,
        }
        for name, members in parts.items()
    }
