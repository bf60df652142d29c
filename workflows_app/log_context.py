"""What every line of the log carries: which request, which workflow, which command.

A request's id travels with the Celery messages that it causes.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import structlog
from celery.signals import task_postrun, task_prerun
from django.http import HttpRequest, HttpResponseBase

logger = logging.getLogger("rayflow.requests")

HEADER = "rayflow_request_id"
READING = ("GET", "HEAD", "OPTIONS")


def bind(**ids: str) -> None:
    """Have the lines that follow carry these ids, until the request or the task ends."""
    structlog.contextvars.bind_contextvars(**ids)


def request_id() -> str:
    """The id of the request that this serves; empty if none."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def message_headers() -> dict[str, str]:
    """The headers of a Celery message that this request causes."""
    return {HEADER: request_id()} if request_id() else {}


def answered(request: HttpRequest, response: HttpResponseBase, began: float) -> None:
    """Log a request when it is answered: failures and changes in any case, reads for debugging."""
    match = request.resolver_match
    workflow_id = match.kwargs.get("workflow_id") if match is not None else None
    status = response.status_code
    level = logging.DEBUG if request.method in READING and status < 500 else logging.INFO
    logger.log(
        logging.ERROR if status >= 500 else level,
        "%s %s %d",
        request.method,
        request.path,
        status,
        extra={
            "status": status,
            "duration_ms": round((time.monotonic() - began) * 1000, 1),
            **({"workflow_id": workflow_id} if workflow_id else {}),
        },
    )


@task_prerun.connect  # type: ignore[untyped-decorator]
def _begin(task: Any = None, args: Any = (), **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    headers = getattr(task.request, "headers", None) or {}
    cause = headers.get(HEADER) or getattr(task.request, HEADER, None)
    bind(task=task.name, **({"request_id": cause} if cause else {}))


@task_postrun.connect  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
