"""What a workflow is told: signals, answers to approvals, and events in the old library's way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import services
from workflows_app.api import lookup
from workflows_app.api.base import ApiView
from workflows_app.api.commands import IDEMPOTENCY_HEADER, accepted, idempotency_key
from workflows_app.api.shapes import AcceptedSerializer
from workflows_app.models import Command, CommandState
from workflows_app.problems import Invalid, Problem, Unavailable

EVENT_SECONDS = 20.0
LOOK_SECONDS = 0.1


class Signal(ApiView):
    """Send a signal."""

    permission: ClassVar[str | None] = "signal_workflow"

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER],
        request={"application/json": {}},
        responses={202: AcceptedSerializer},
    )
    def post(self, request: Request, workflow_id: str, name: str) -> Response:
        """Send a signal; the body, any JSON, is its payload. It is kept until a task reads it."""
        key = idempotency_key(request)
        workflow = lookup.find_to_change(self.caller, workflow_id)
        command = services.tell(
            self.caller, workflow, "signal", name, request.data, key=key, idempotency_key=key
        )
        return accepted(command)


class AnswerSerializer(serializers.Serializer[Any]):
    """What somebody decides."""

    approved = serializers.BooleanField(help_text="Yes or no.")
    payload = serializers.JSONField(
        default=None, allow_null=True, help_text="The answer that the workflow gets besides."
    )


class Answer(ApiView):
    """Answer an approval."""

    permission: ClassVar[str | None] = "signal_workflow"

    @extend_schema(
        tags=["workflows"],
        parameters=[IDEMPOTENCY_HEADER],
        request=AnswerSerializer,
        responses={202: AcceptedSerializer},
    )
    def post(self, request: Request, workflow_id: str, task_id: str) -> Response:
        """Answer an approval that a task asks for. The first answer counts."""
        form = AnswerSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        said = {
            "approved": form.validated_data["approved"],
            "answer": form.validated_data["payload"],
        }
        workflow = lookup.find_to_change(self.caller, workflow_id)
        command = services.tell(
            self.caller,
            workflow,
            "approval",
            task_id,
            said,
            idempotency_key=idempotency_key(request),
        )
        return accepted(command)


class SendEvent(ApiView):
    """The old library's endpoint for events over HTTP."""

    permission: ClassVar[str | None] = "signal_workflow"

    @extend_schema(exclude=True)
    def post(self, request: Request, workflow_id: str, operation: UUID | None = None) -> Response:
        """Send the event of one key; answered with ``{}`` when it is recorded."""
        if operation is not None:
            return self._outcome(operation)
        body = request.data
        if not isinstance(body, dict) or not isinstance(body.get("event_key"), str):
            raise Invalid("The body is a JSON object with event_key, a string, and event_payload.")
        if "event_payload" not in body or not body["event_key"]:
            raise Invalid("The body needs event_key, not empty, and event_payload.")
        name = body["event_key"]
        workflow = lookup.find_to_change(self.caller, workflow_id)
        command = services.tell(
            self.caller, workflow, "event", name, body["event_payload"], key=name
        )
        return accepted(command)

    def _outcome(self, operation: UUID) -> Response:
        command = Command.objects.get(pk=operation)
        if command.state == CommandState.SUCCEEDED:
            return Response({})
        if command.state == CommandState.FAILED:
            raise _refused(command.problem or {})
        raise Unavailable(
            f"The event is stored as operation {command.pk}, but no worker has recorded it within"
            f" {EVENT_SECONDS:.0f} s; it will be recorded when one runs."
        )


def until_recorded(view_class: type[ApiView]) -> Callable[..., Any]:
    """The asynchronous form of a view that accepts a command, answered when that has ended."""
    view = view_class.as_view()
    answer = sync_to_async(view)

    async def waiting_view(request: HttpRequest, **kwargs: Any) -> Any:
        response = await answer(request, **kwargs)
        if response.status_code != 202:
            return response
        operation = response.data["operation"]["id"]
        deadline = time.monotonic() + EVENT_SECONDS
        is_over = sync_to_async(_is_over)
        while not await is_over(operation) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
        return await answer(request, **kwargs, operation=operation)

    return update_wrapper(waiting_view, view)


def _is_over(operation: str) -> bool:
    ended = (CommandState.SUCCEEDED, CommandState.FAILED)
    return Command.objects.filter(pk=operation, state__in=ended).exists()


def _refused(problem: dict[str, Any]) -> Problem:
    refusal = Problem(problem.get("detail", ""), code=problem.get("code", ""))
    refusal.status, refusal.title = problem.get("status", 500), problem.get("title", refusal.title)
    return refusal
