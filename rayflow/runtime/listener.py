"""What happens to the workflows of this program, as lines of its log; the program's side."""

from __future__ import annotations

import atexit
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from typing import Any

import ray

from rayflow import context
from rayflow.runtime.lines import Heard

logger = logging.getLogger("rayflow.workflow")

POLL_SECONDS = 10.0
PATIENCE_SECONDS = 30.0
LAST_WORDS_SECONDS = 2.0


Asked = Future[Heard]


class Listener:
    """Fetches lines of all ``engines`` in a thread that lives as long as something of this program does.

    Nothing of it can fail or hold up a workflow: when an engine is gone, its lines end.
    """

    def __init__(self, engines: Sequence[Any]) -> None:
        self._engines = engines
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
            for asked in [self._ask(engine, 0.0) for engine in self._engines]:
                _write(_heard(asked, LAST_WORDS_SECONDS))
            thread.join(LAST_WORDS_SECONDS)

    def _listen(self) -> None:
        asked: dict[Asked, int] = {}  # by the numbers of engines
        left = set(range(len(self._engines)))  # those that are there
        live = set(left)  # those that may have something to say
        while True:
            seen = self._submissions
            for number in left - set(asked.values()):
                asked[self._ask(self._engines[number], POLL_SECONDS)] = number
            # Nothing may wait inside Ray while the program shuts it down.
            told, _ = wait(asked, POLL_SECONDS + PATIENCE_SECONDS, FIRST_COMPLETED)
            for each in told:
                number, heard = asked.pop(each), _heard(each, 0.0)
                _write(heard)
                if heard is None:
                    left.discard(number)
                (live.add if heard is not None and heard.is_live else live.discard)(number)
            with self._lock:
                is_idle = not self._submitting and self._submissions == seen
                if not told or not left or self._is_closing or (is_idle and not live):
                    self._thread = None
                    return

    def _ask(self, engine: Any, timeout: float) -> Asked:
        asked: Asked
        try:
            asked = engine.lines.remote(self._own, timeout).future()
        except Exception as error:
            asked = Future()
            asked.set_exception(error)
        return asked


def _heard(asked: Asked, patience: float) -> Heard | None:
    """What an engine has to say; None when it cannot be asked."""
    try:
        return asked.result(patience)
    except (Exception, CancelledError):
        return None


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
