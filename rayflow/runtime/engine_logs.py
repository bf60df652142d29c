"""What the engine logs: on standard error, which Ray keeps, as lines or as JSON, each with its workflow."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

# The workflow that the engine is busy with in this task of its event loop.
workflow: ContextVar[str | None] = ContextVar("rayflow_workflow", default=None)
# The request that it is busy for. In a process that calls the engine: the one it is to carry there.
request: ContextVar[str | None] = ContextVar("rayflow_request", default=None)

_LINE = "%(asctime)s %(levelname)s %(name)s %(message)s"

_logger = logging.getLogger("rayflow.engine")


def configure() -> None:
    """Give the library's loggers a handler of their own in this process, once.

    ``RAYFLOW_LOG_FORMAT=json`` where Ray was started makes every line a JSON object.
    """
    logger = logging.getLogger("rayflow")
    if logger.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    is_json = os.environ.get("RAYFLOW_LOG_FORMAT") == "json"
    handler.setFormatter(_JsonFormatter() if is_json else logging.Formatter(_LINE))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def begin(request_id: str, verb: str, subject: object) -> None:
    """Note what is asked for by a request; all that it causes carries the id.

    Args:
        subject: the id of a workflow, or something that has one.
    """
    request.set(request_id)
    workflow.set(subject if isinstance(subject, str) else getattr(subject, "workflow_id", None))
    _logger.info("%s of workflow '%s' for request %s", verb, workflow.get(), request_id)


class _JsonFormatter(logging.Formatter):
    """The same keys as in the logs of the web application."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        for name, context in (("workflow_id", workflow), ("request_id", request)):
            if (value := context.get()) is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
