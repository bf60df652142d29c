"""What an attempt prints and logs, kept with its workflow.

Text that Python code writes to ``sys.stdout`` and ``sys.stderr``, and records of :mod:`logging`, go where they
would go anyway and besides to the log of the attempt that the process runs. What other programs and C code
write to the standard streams does not.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from contextlib import suppress
from typing import Any, TextIO

from rayflow.errors import StorageError
from rayflow.storage.logs import LogFile
from rayflow.storage.store import Store

LONGEST_TEXT = 64 * 1024  # characters of one line
MOST_BYTES = 2 * 1024**3
FLUSH_BYTES = 256 * 1024
FLUSH_SECONDS = 1.0  # on a store that can append; objects grow fewer with time
LATEST_FLUSH_SECONDS = 30.0
# Values that look like credentials are not kept. RAYFLOW_LOG_MASK adds a regular expression.
_SECRETS = (
    r"(?i:\b(?:password|passwd|secret|token|api[_-]?key|authorization)\b[\"']?\s*[:=]\s*"
    r"(?:bearer\s+|basic\s+)?[\"']?)(?P<value>[^\s\"',;&]+)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)|\bAKIA[0-9A-Z]{16}\b|\brf_[A-Za-z0-9_-]{20,}"
)
_MASK = "***"
_making = threading.Lock()

_current: Kept | None = None


class Kept:
    """Keeps what this process prints meanwhile, as a context manager. Without output it does nothing."""

    __slots__ = ("_before", "_log", "_place")

    def __init__(self, store: Store, workflow_id: str, task_id: str, attempt: int) -> None:
        self._place = (store, workflow_id, task_id, attempt)
        self._log: TaskLog | None = None

    def __enter__(self) -> None:
        global _current
        _install()
        self._before, _current = _current, self

    def __exit__(self, *exc_info: object) -> None:
        global _current
        _current = self._before
        if self._log is not None:
            self._log.close()

    @property
    def log(self) -> TaskLog:
        """The log, made for the first line."""
        with _making:
            if self._log is None:
                self._log = TaskLog(LogFile(*self._place))
            return self._log


class TaskLog:
    """Collects lines and writes them in the background, the last ones when it is closed."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._lines: list[bytes] = []
        self._waiting = self._size = 0
        self._partial: dict[str, str] = {}
        self._end: int | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._flush_now_and_then, daemon=True).start()

    def text(self, stream: str, text: str) -> None:
        """Take text of a stream, which need not end with its line."""
        with self._lock:
            whole = self._partial.pop(stream, "") + text
            *lines, rest = whole.split("\n")
            for line in lines:
                self._add(stream, None, line)
            if len(rest) >= LONGEST_TEXT:
                self._add(stream, None, rest)
            elif rest:
                self._partial[stream] = rest
        self._after_lines()

    def record(self, level: str, text: str) -> None:
        """Take a record of :mod:`logging`."""
        with self._lock:
            self._add("log", level, text)
        self._after_lines()

    def close(self) -> None:
        """Write what is left. A storage that refuses costs the log its end, nothing else."""
        with self._lock:
            for stream, rest in self._partial.items():
                self._add(stream, None, rest)
            self._partial.clear()
        self._closed.set()
        self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        with self._writing:
            with self._lock:
                data, self._lines, self._waiting = b"".join(self._lines), [], 0
            if not data:
                return
            try:
                self._end = self._file.append(data, self._end)
            except (StorageError, FileExistsError, KeyError):
                self._end = None  # look where it ends before the next one

    def _add(self, stream: str, level: str | None, text: str) -> None:
        if self._size > MOST_BYTES:
            return
        cut = len(text) > LONGEST_TEXT
        shown = f"{text[:LONGEST_TEXT]}… [{len(text) - LONGEST_TEXT} more]" if cut else text
        line = {"t": round(time.time(), 6), "s": stream, "l": level, "m": masked(shown)}
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        self._size += len(data)
        if self._size > MOST_BYTES:
            data = b'{"t": 0, "s": "log", "l": "WARNING", "m": "The log is full; the rest is left out."}\n'
        self._lines.append(data)
        self._waiting += len(data)

    def _after_lines(self) -> None:
        if self._waiting > FLUSH_BYTES:
            self.flush()

    def _flush_now_and_then(self) -> None:
        pause = FLUSH_SECONDS
        while not self._closed.wait(pause):
            self.flush()
            if not self._file.grows:
                pause = min(pause * 1.5, LATEST_FLUSH_SECONDS)


def masked(text: str) -> str:
    """``text`` without what looks like a credential."""
    return _pattern().sub(_hide, text)


def _hide(found: re.Match[str]) -> str:
    value = found.groupdict().get("value")
    return _MASK if value is None else found.group(0)[: -len(value)] + _MASK


_compiled: re.Pattern[str] | None = None


def _pattern() -> re.Pattern[str]:
    global _compiled
    if _compiled is None:
        more = os.environ.get("RAYFLOW_LOG_MASK")
        with suppress(re.error):
            _compiled = re.compile(f"{_SECRETS}|{more}" if more else _SECRETS)
        _compiled = _compiled or re.compile(_SECRETS)
    return _compiled


# --- the streams and the logging of the process -------------------------------------------------


class _Tee:
    """A standard stream whose text also goes to the log of the attempt under way."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        if _current is not None and text and not _is_logged(sys._getframe(1)):
            _current.log.text(self._name, text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Handler(logging.Handler):
    """Takes records that reach the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        if _current is None or getattr(record, "_rayflow_kept", False):
            return
        record._rayflow_kept = True
        with suppress(Exception):  # what logging itself would report on the console
            _current.log.record(record.levelname, self.format(record))


def _is_logged(frame: Any) -> bool:
    """Whether a handler of :mod:`logging` writes a record; it is kept once, with its level."""
    if frame.f_code.co_filename != logging.__file__:
        return False
    record = frame.f_locals.get("record")
    if record is None or _current is None:
        return False
    if not getattr(record, "_rayflow_kept", False):
        record._rayflow_kept = True
        _current.log.record(record.levelname, _formatter.format(record))
    return True


_formatter = logging.Formatter("%(name)s: %(message)s")
_handler: _Handler | None = None


def _install() -> None:
    """Once per process, and again if somebody has put other streams in their place."""
    global _handler
    for name, attribute in (("out", "stdout"), ("err", "stderr")):
        stream = getattr(sys, attribute)
        if stream is not None and not isinstance(stream, _Tee):
            setattr(sys, attribute, _Tee(stream, name))
    if _handler is None:
        _handler = _Handler()
        _handler.setFormatter(_formatter)
        logging.getLogger().addHandler(_handler)
