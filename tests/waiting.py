"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# Seconds after which something has failed to happen. A busy machine with two cores may take 40 of them to
# start one process of Ray; who passes pays nothing.
PATIENCE = 200.0


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until ``condition`` is true; fail when that does not come in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def content(file: str | Path) -> str:
    """The text of a file; empty if it is not there yet."""
    return Path(file).read_text() if Path(file).exists() else ""
