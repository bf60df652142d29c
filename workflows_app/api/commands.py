"""How every accepted command is answered, and how a repeated request is recognised."""

from __future__ import annotations

import re
from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.shapes import OperationSerializer
from workflows_app.models import Command
from workflows_app.problems import Invalid

KEY = re.compile(r"[\x21-\x7e]{1,128}")

IDEMPOTENCY_HEADER = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="1 to 128 visible ASCII characters. The same request with the same key is "
    "executed once; a repeated one gets the first answer with `Idempotency-Replayed: true`.",
)


class BadKey(Invalid):
    """The Idempotency-Key header cannot be used."""

    default_code = "bad_idempotency_key"
    title = "The Idempotency-Key cannot be used"


def idempotency_key(request: Request) -> str | None:
    """The request's key, if it has one; raises `BadKey` for one that could not be stored."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not KEY.fullmatch(key):
        raise BadKey("Idempotency-Key takes 1 to 128 visible ASCII characters without spaces.")
    return key


def accepted(command: Command, **more: Any) -> Response:
    """202 with the operation and where to follow it."""
    operation = OperationSerializer(command).data
    headers = {"Location": reverse("api:operation", args=[command.pk])}
    if command.replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response({"operation": operation, **more}, status=202, headers=headers)
