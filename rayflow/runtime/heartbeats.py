"""The signs of life of a body, on their way to the engine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

MAX_DETAIL_BYTES = 16 * 1024
LONGEST_PAUSE_SECONDS = 1.0


class Pulse:
    """Sends heartbeats, but not too many, and remembers the last details.

    Args:
        send: takes details to the engine without waiting.
        timeout: the task's ``heartbeat_timeout``, in seconds.
    """

    def __init__(self, send: Callable[[Any], None], timeout: float | None) -> None:
        self.details: Any = None
        self._send = send
        self._pause = min(LONGEST_PAUSE_SECONDS, (timeout or 60.0) / 4)
        self._sent_at = float("-inf")
        self._lock = threading.Lock()

    def beat(self, details: Any) -> None:
        """Say that the body lives. Without details the last ones stay.

        Raises:
            ValueError: JSON cannot hold ``details``, or they are too large.
        """
        checked = _checked(details)
        with self._lock:
            if checked is not None:
                self.details = checked
            now = time.monotonic()
            if now - self._sent_at < self._pause:
                return
            self._sent_at = now
            self._send(self.details)


def _checked(details: Any) -> Any:
    try:
        text = json.dumps(details, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"The details of workflow.heartbeat must be plain JSON values: {error}."
        ) from None
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_DETAIL_BYTES:
        raise ValueError(
            f"The details of workflow.heartbeat have {size} bytes as JSON; at most "
            f"{MAX_DETAIL_BYTES} are kept. Store larger things with workflow.artifact and pass its key."
        )
    return json.loads(text)
