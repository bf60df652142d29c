"""The definition that ``make bench-web`` launches."""

from __future__ import annotations

from typing import Any

import ray

from rayflow import workflow


@ray.remote
def nothing(number: int) -> int:
    return number


@workflow.definition(name="bench")
def bench(number: int = 0) -> Any:
    """A workflow of one task that takes no time."""
    return nothing.bind(number)
