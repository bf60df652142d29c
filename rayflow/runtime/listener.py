"""What happens to the workflows of this program, as lines of its log; the program's side."""

from __future__ import annotations

import atexit
import concurrent.futures
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from rayflow import context
from rayflow.runtime.lines import Heard

logger = logging.getLogger("rayflow.workflow")

POLL_SECONDS = 10.0
PATIENCE_SECONDS = 30.0
LAST_WORDS_SECONDS = 2.0


class Listener:
    """Fetches lines in a thread that lives as long as something of this program does.

    Nothing of it can fail or hold up a workflow: when the engine is gone, the lines end.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._own = f"{ray.get_runtime_context().get_job_id()}:{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._submitting = 0
        self._submissions = 0
        self._is_closing = False
        atexit.register(self.close)

    @contextmanager
    def submitting(self) -> Iterator[str]:
        """Around a submission: gives the name of the listener that the lines are for.

        What a task of a workflow starts belongs to the program that its own workflow belongs to.
        """
        task = context.current.get()
        if task is not None and task.listener is not None:
            yield task.listener
            return
        with self._lock:
            self._submitting += 1
            self._submissions += 1
            if self._thread is None and not self._is_closing:
                _show_by_default()
                self._thread = threading.Thread(
                    target=self._listen, name="rayflow-lines", daemon=True
                )
                self._thread.start()
        try:
            yield self._own
        finally:
            with self._lock:
                self._submitting -= 1

    def close(self) -> None:
        """Write what has happened until now, and no more. For the end of the program."""
        self._is_closing = True
        thread = self._thread
        if thread is not None and ray.is_initialized():
            _write(self._fetch(0.0, LAST_WORDS_SECONDS))
            thread.join(LAST_WORDS_SECONDS)

    def _listen(self) -> None:
        while True:
            seen = self._submissions
            heard = self._fetch(POLL_SECONDS, POLL_SECONDS + PATIENCE_SECONDS)
            _write(heard)
            with self._lock:
                is_idle = not self._submitting and self._submissions == seen
                if heard is None or self._is_closing or (is_idle and not heard.is_live):
                    self._thread = None
                    return

    def _fetch(self, timeout: float, patience: float) -> Heard | None:
        """What the engine has to say; None when it cannot be asked."""
        try:
            # A future and not ray.get: nothing may wait inside Ray while the program shuts it down.
            heard: Heard = self._engine.lines.remote(self._own, timeout).future().result(patience)
        except (Exception, concurrent.futures.CancelledError):
            return None
        return heard


def _write(heard: Heard | None) -> None:
    if heard is None:
        return
    if heard.left_out:
        logger.warning("%d lines about workflows are left out here.", heard.left_out)
    for level, text in heard.lines:
        logger.log(level, "%s", text)


def _show_by_default() -> None:
    """Like Ray's own lines: on stderr, unless the program has chosen levels or handlers itself."""
    if logger.level == logging.NOTSET and logging.getLogger("rayflow").level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s\t%(levelname)s -- %(message)s"))
        logger.addHandler(handler)
