"""Operations: the state of a command that was accepted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app.api.base import ApiView, read_query
from workflows_app.api.shapes import OperationSerializer
from workflows_app.api.waiting import MAX_WAIT_SECONDS, Patient
from workflows_app.models import Command
from workflows_app.problems import NotFound


class OperationQuery(serializers.Serializer[Any]):
    """How long to wait for the end."""

    wait = serializers.FloatField(
        min_value=0,
        default=0,
        help_text=f"Seconds to wait at most; more than {MAX_WAIT_SECONDS} counts as that many.",
    )


class OperationDetail(ApiView):
    """One command."""

    @extend_schema(tags=["operations"], parameters=[OperationQuery], responses=OperationSerializer)
    def get(self, request: Request, operation_id: UUID) -> Response:
        """The state of a command; `wait` answers when it has SUCCEEDED or FAILED."""
        query = read_query(request, OperationQuery)
        first = _read(operation_id)
        if first is None:
            raise NotFound(f"There is no operation {operation_id}.")
        return Patient(
            first, look=lambda: _read(operation_id), is_over=is_finished, seconds=query["wait"]
        )


def is_finished(data: dict[str, Any]) -> bool:
    """Whether the command will not change any more."""
    return data["state"] in ("SUCCEEDED", "FAILED")


def _read(operation_id: UUID) -> dict[str, Any] | None:
    command = Command.objects.filter(pk=operation_id).first()
    return None if command is None else dict(OperationSerializer(command).data)
