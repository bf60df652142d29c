"""What attempts print: reading the end of a log, a range of it, or the lines that fit a search.

Another process wrote the lines, so nothing of them is taken for granted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from workflows_app import payloads
from workflows_app.gateway import LogPart, gateway
from workflows_app.models import Task, TaskAttempt
from workflows_app.problems import NotFound

DEFAULT_BYTES = 256 * 1024
MOST_BYTES = 1024 * 1024
# A search looks at this much in one request, then says where to go on.
SCAN_BYTES = 64 * 1024 * 1024
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
STREAMS = ("out", "err", "log")
MAX_OFFSET = 2**53


def read(task: Task, number: int, query: Mapping[str, Any]) -> dict[str, Any]:
    """A part of what an attempt has printed.

    Args:
        query: ``limit_bytes``; ``offset`` for lines from there on, ``before`` for lines before it, else the end;
            ``grep``, ``level`` and ``stream`` for a search from ``offset`` on.

    Returns:
        ``items`` (each with ``offset``, ``time``, ``stream``, ``level`` and ``text``), ``start`` and
        ``next_offset`` in bytes, ``size``, ``at_end``, and whether the attempt is ``running``.

    Raises:
        NotFound: the task has had no such attempt.
        EngineProblem: the storage does not answer.
    """
    attempt = task.attempts.filter(number=number).first()
    if attempt is None:
        raise NotFound(_no_attempt(task, number))
    attempt.task = task
    return read_attempt(attempt, query)


def read_attempt(attempt: TaskAttempt, query: Mapping[str, Any]) -> dict[str, Any]:
    """As :func:`read`, for an attempt that is at hand with its task and workflow."""
    task = attempt.task
    names = (task.workflow.workflow_id, task.task_id, attempt.number)
    size = query["limit_bytes"]

    def part(start: int, end: int) -> LogPart:
        return gateway().log(*names, start, end)

    if "grep" in query or "level" in query or "stream" in query:
        lines, found = _search(part, query)
        return _body(lines, found, _is_running(task, attempt))
    if "before" in query:
        found = part(max(0, query["before"] - size), query["before"])
    elif "offset" in query:
        found = part(query["offset"], query["offset"] + size)
    else:
        found = part(-size, MAX_OFFSET)
    return _body(_numbered(found), found, _is_running(task, attempt))


def _is_running(task: Task, attempt: TaskAttempt) -> bool:
    return attempt.finished_at is None and task.status == "RUNNING"


def _numbered(found: LogPart) -> Iterator[tuple[int, bytes]]:
    """Lines with where they begin."""
    offset = found.start
    for line in found.lines:
        yield offset, line
        offset += len(line) + 1


def _search(
    part: Callable[[int, int], LogPart], query: Mapping[str, Any]
) -> tuple[list[tuple[int, bytes]], LogPart]:
    """The lines that fit, up to a number of bytes, and how much of the log was looked at for them."""
    fits, wanted = _filter(query), query["limit_bytes"]
    start = position = query.get("offset", 0)
    lines: list[tuple[int, bytes]] = []
    while True:
        found = part(position, position + MOST_BYTES)
        for offset, line in _numbered(found):
            if wanted <= 0:
                return lines, LogPart((), start, offset, found.size)
            if fits(line):
                lines.append((offset, line))
                wanted -= len(line)
        is_over = found.end <= position or found.end >= found.size
        position = max(position, found.end)
        if is_over or position - start >= SCAN_BYTES:
            return lines, LogPart((), start, position, found.size)


def _filter(query: Mapping[str, Any]) -> Callable[[bytes], bool]:
    """Whether a line, JSON as bytes, fits. Most are told by their bytes alone."""
    text = query.get("grep", "")
    # What JSON writes in one way only can be looked for in the bytes.
    is_plain = text.isascii() and json.dumps(text) == f'"{text}"'
    quick = re.compile(re.escape(text.encode()), re.IGNORECASE) if is_plain else None
    levels = LEVELS[LEVELS.index(query["level"]) :] if "level" in query else ()
    stream = query.get("stream")

    def fits(line: bytes) -> bool:
        if quick is not None and not quick.search(line):
            return False
        told = _parsed(line)
        if text and text.lower() not in str(told.get("m", "")).lower():
            return False
        return (not levels or told.get("l") in levels) and (not stream or told.get("s") == stream)

    return fits


def _body(lines: Iterable[tuple[int, bytes]], found: LogPart, is_running: bool) -> dict[str, Any]:
    return {
        "items": [{"offset": offset, **_shown(line)} for offset, line in lines],
        "start": found.start,
        "next_offset": found.end,
        "size": found.size,
        "at_end": found.end >= found.size,
        "running": is_running,
    }


def _shown(line: bytes) -> dict[str, Any]:
    told = _parsed(line)
    time = told.get("t")
    is_time = isinstance(time, int | float) and 0 <= time < 32_503_680_000
    moment = datetime.fromtimestamp(time if is_time else 0, UTC)  # type: ignore[arg-type]
    stream, level = told.get("s"), told.get("l")
    return {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "stream": stream if stream in STREAMS else "out",
        "level": payloads.text(level, 20) if isinstance(level, str) else None,
        "text": payloads.text(told.get("m", line.decode("utf-8", "replace"))),
    }


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _no_attempt(task: Task, number: int) -> str:
    if task.reused_from is not None:
        return (
            f"Task {task.task_id!r} did not run here: its outcome is that of workflow {task.reused_from!r}, whose"
            " attempts have its logs."
        )
    return f"Task {task.task_id!r} has no attempt {number}; it has had {task.attempt}."
