"""What attempts print: the end first, then on or back by ranges, or the lines that hold a text."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import log_reading
from workflows_app.api import lookup
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.tasks import task_of
from workflows_app.log_reading import DEFAULT_BYTES, LEVELS, MAX_OFFSET, MOST_BYTES, STREAMS
from workflows_app.problems import Invalid


class LogQuery(serializers.Serializer[Any]):
    """Which part. Without `offset` and `before`: the end."""

    offset = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OFFSET,
        required=False,
        help_text="Lines that begin here or later.",
    )
    before = serializers.IntegerField(
        min_value=0, max_value=MAX_OFFSET, required=False, help_text="Lines that begin earlier."
    )
    limit_bytes = serializers.IntegerField(
        min_value=1_024, max_value=MOST_BYTES, default=DEFAULT_BYTES
    )
    grep = serializers.CharField(
        max_length=200, required=False, trim_whitespace=False,
        help_text="Only lines with this text, in any letter case, from `offset` on.",
    )  # fmt: skip
    level = serializers.ChoiceField(
        choices=LEVELS, required=False, help_text="Only records of logging of this level or higher."
    )
    stream = serializers.ChoiceField(choices=STREAMS, required=False)


class LineSerializer(serializers.Serializer[Any]):
    """One line."""

    offset = serializers.IntegerField(help_text="Where it begins, in bytes: its permanent name.")
    time = serializers.DateTimeField()
    stream = serializers.ChoiceField(choices=STREAMS)
    level = serializers.CharField(allow_null=True, help_text="Of a record of logging.")
    text = serializers.CharField()


class LogSerializer(serializers.Serializer[Any]):
    """A part of a log. Go on with `offset=next_offset`, back with `before=start`."""

    items = LineSerializer(many=True)
    start = serializers.IntegerField()
    next_offset = serializers.IntegerField()
    size = serializers.IntegerField(help_text="How long the log is now, in bytes.")
    at_end = serializers.BooleanField()
    running = serializers.BooleanField(help_text="Whether the attempt may still print.")


class AttemptLog(ApiView):
    """What an attempt prints."""

    permission: ClassVar[str | None] = "view_logs"

    @extend_schema(tags=["tasks"], parameters=[LogQuery], responses=LogSerializer)
    def get(self, request: Request, workflow_id: str, task_id: str, number: int) -> Response:
        """The end of what an attempt has printed and logged, another part of it, or what holds a text."""
        query = read_query(request, LogQuery)
        if "offset" in query and "before" in query:
            raise Invalid("Give offset or before, not both.", code="bad_query")
        workflow = lookup.find(self.caller, workflow_id)
        task = task_of(workflow, task_id)
        return Response(log_reading.read(task, number, query))
