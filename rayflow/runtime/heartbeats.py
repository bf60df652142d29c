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
        self._next_at = float("-inf")
        self._later: threading.Timer | None = None
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
            wait = self._next_at - time.monotonic()
            if wait <= 0:
                self._send_now()
            elif checked is not None and self._later is None:
                # Nobody may call again for long, and these are the details that count then.
                self._later = threading.Timer(wait, self._send_later)
                self._later.daemon = True
                self._later.start()

    def stop(self) -> None:
        """Send nothing more."""
        with self._lock:
            if self._later is not None:
                self._later.cancel()

    def _send_later(self) -> None:
        with self._lock:
            self._later = None
            self._send_now()

    def _send_now(self) -> None:
        self._next_at = time.monotonic() + self._pause
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
