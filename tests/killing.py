"""kill -9, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """End processes at once; the death of one may have ended others before their turn."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
