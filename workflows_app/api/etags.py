"""ETag, If-None-Match and If-Match: reading only what has changed, and changing only what one has read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.models import Workflow
from workflows_app.problems import Stale

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what you have read. If it has changed since, the answer is 412 and"
    " nothing is done.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what you have read: 304 without a body if nothing has changed.",
)


def of_workflow(workflow: Workflow) -> str:
    """The tag of a workflow as the registry has it."""
    pending, said = workflow.pending_command or "-", "r" if workflow.resolved else "u"
    fork = workflow.superseded_by or ""
    return f'"{workflow.event_seq}.{workflow.status}.{pending}.{said}{len(fork)}"'


def of_revision(revision: int) -> str:
    """The tag of something that counts its changes."""
    return f'"{revision}"'


def of_settings(settings: Mapping[str, Any]) -> str:
    """The tag of something that is its settings."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'


def require_match(request: Request, tag: str, what: str) -> None:
    """Refuse a change that is meant for another state.

    Raises:
        Stale: the request has an ``If-Match`` that does not name ``tag``.
    """
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _names(wanted, tag):
        raise Stale(
            f"{what} has changed since you read it ({wanted:.100} is now {tag}); read it again, then decide.",
            extra={"etag": tag},
        )


def tagged(request: Request, tag: str, data: Any) -> Response:
    """``data`` with its tag, or 304 if the caller has it already."""
    wanted = request.headers.get("If-None-Match")
    if wanted is not None and _names(wanted, tag):
        return Response(status=304, headers={"ETag": tag})
    return Response(data, headers={"ETag": tag})


def _names(header: str, tag: str) -> bool:
    names = [name.strip().removeprefix("W/") for name in header.split(",")]
    return "*" in names or tag in names
