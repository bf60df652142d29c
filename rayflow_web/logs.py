"""What the web server, the workers and the follower log: lines for people, or JSON for programs.

Every line carries what was bound while it was written: the id of the request, of the workflow and of the command.
"""

from __future__ import annotations

from typing import Any, Literal

import structlog

Form = Literal["line", "json"]

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    # What other libraries add to their records may be anything, and is not for this log.
    structlog.stdlib.ExtraAdder(
        allow={"request_id", "workflow_id", "command_id", "status", "duration_ms"}
    ),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def config(form: Form) -> dict[str, Any]:
    """Django's ``LOGGING``."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"shown": {"()": formatter, "form": form}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "shown"}},
        "root": {"handlers": ["console"], "level": "INFO"},
        # What they would say the log of requests says, with ids.
        "loggers": {
            "django.request": {"level": "ERROR"},
            "uvicorn.access": {"level": "WARNING"},
        },
    }


def formatter(form: Form = "line") -> structlog.stdlib.ProcessorFormatter:
    """The formatter of every handler."""
    ending: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        ending += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        ending += [structlog.processors.format_exc_info, _line]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=ending)


def _line(_: Any, __: str, told: Any) -> str:
    """``time LEVEL logger: text key=value …``, and a traceback below it."""
    event = dict(told)
    head = " ".join(str(event.pop(key, "-")) for key in ("timestamp", "level", "logger"))
    time, level, logger = head.split(" ", 2)
    text, trace = event.pop("event", ""), event.pop("exception", None)
    more = "".join(f" {key}={value}" for key, value in sorted(event.items()))
    return f"{time} {level.upper()} {logger} {text}{more}" + (f"\n{trace}" if trace else "")
