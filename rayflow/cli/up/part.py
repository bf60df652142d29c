"""What a part is: its command, environment, sign of readiness, way to stop. Values only."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

# What the terminal shows of a talkative part: the rest is in its log file.
# The sweep and the tick of the schedules run every few seconds; that they did so is no news.
LEVELS = re.compile(
    r"^(?!.*INFO.*\b(?:sweep|tick)\b).*(?:\b(?:INFO|WARNING|ERROR|CRITICAL)\b|Traceback|Error:)"
)
ERRORS = re.compile(r"\b(ERROR|CRITICAL|FATAL|Traceback)\b|Error:")


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the instance, as it should be run."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    # Exactly one sign of readiness: a question that is asked again and again, a line of output, or
    # just staying alive.
    probe: Callable[[], Awaitable[bool]] | None = None
    ready_line: str | None = None
    # Whether the process (its pid) still does its work. One that only lives is ended, and started again.
    works: Callable[[int], bool] | None = None
    # Parts whose restart makes a restart of this one necessary.
    follows: tuple[str, ...] = ()
    stop_seconds: float = 3.0
    shown: re.Pattern[str] | None = None
