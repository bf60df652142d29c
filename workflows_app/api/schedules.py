"""Schedules: definitions that are launched at certain times."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from workflows_app import services
from workflows_app.api import etags
from workflows_app.api.base import ApiView, read_query
from workflows_app.api.pagination import PageQuery, PageSerializer, paginate
from workflows_app.keyset import Sort
from workflows_app.models import Overlap, RunState, Schedule, ScheduleRun
from workflows_app.problems import NotFound
from workflows_app.services.schedules import draft, rule_of

MOST_PREVIEWED = 100
YEAR_SECONDS = 366 * 24 * 3600
SETTINGS = (
    "definition", "params", "tags", "cron", "every_seconds", "timezone", "overlap",
    "catch_up_seconds", "jitter_seconds",
)  # fmt: skip


class ScheduleSettings(serializers.ModelSerializer[Schedule]):
    """What a schedule is set to. Exactly one of `cron` and `every_seconds`."""

    definition = serializers.CharField(max_length=200)
    params = serializers.DictField(default=dict)
    tags = serializers.DictField(child=serializers.CharField(max_length=200), default=dict)
    cron = serializers.CharField(
        max_length=200, default="", allow_blank=True, help_text="Five fields, as `0 6 * * 1-5`."
    )
    every_seconds = serializers.IntegerField(
        min_value=1, max_value=YEAR_SECONDS, default=None, allow_null=True
    )
    timezone = serializers.CharField(
        max_length=64, default="UTC", help_text="Of the cron line, as `Europe/Lisbon`."
    )
    overlap = serializers.ChoiceField(
        choices=Overlap.values, default=Overlap.SKIP,
        help_text="What happens while an earlier run has not ended.",
    )  # fmt: skip
    catch_up_seconds = serializers.IntegerField(
        min_value=0, max_value=YEAR_SECONDS, default=600,
        help_text="A time that could not be kept for longer than this is missed.",
    )  # fmt: skip
    jitter_seconds = serializers.IntegerField(
        min_value=0, max_value=24 * 3600, default=0,
        help_text="Each run starts later by up to this, always the same for the same time.",
    )  # fmt: skip

    class Meta:
        model = Schedule
        fields: tuple[str, ...] = SETTINGS


class NewSchedule(ScheduleSettings):
    """A schedule to be made."""

    name = serializers.CharField(max_length=100)
    dry_run = serializers.BooleanField(
        default=False, help_text="Only check it, and answer its next times."
    )

    class Meta(ScheduleSettings.Meta):
        fields = ("name", "dry_run", *SETTINGS)


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """A schedule."""

    params = serializers.DictField()
    tags = serializers.DictField()
    overlap = serializers.ChoiceField(choices=Overlap.values)
    every_seconds = serializers.IntegerField(allow_null=True)
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)

    class Meta:
        model = Schedule
        fields = (
            "name", *SETTINGS, "paused", "pause_reason", "created_by", "created_at", "next_run_at",
            "last_run_at",
        )  # fmt: skip
        read_only_fields = fields


class SchedulePage(serializers.Serializer[Any]):
    """A page of schedules."""

    items = ScheduleSerializer(many=True)
    page = PageSerializer()


class TimesSerializer(serializers.Serializer[Any]):
    """Times in UTC, and as clocks show them in the schedule's zone."""

    times = serializers.ListField(child=serializers.DateTimeField())
    local = serializers.ListField(child=serializers.CharField())


class PreviewQuery(serializers.Serializer[Any]):
    """How many times."""

    count = serializers.IntegerField(min_value=1, max_value=MOST_PREVIEWED, default=10)


class RunSerializer(serializers.ModelSerializer[ScheduleRun]):
    """What became of one time."""

    state = serializers.ChoiceField(choices=RunState.values)
    origin = serializers.ChoiceField(choices=("time", "trigger", "backfill"))
    workflow_id = serializers.CharField(help_text="Empty unless it was launched.")
    detail = serializers.CharField(help_text="Why it was not launched.")

    class Meta:
        model = ScheduleRun
        fields = ("due_at", "state", "origin", "workflow_id", "detail")
        read_only_fields = fields


class RunPage(serializers.Serializer[Any]):
    """A page of runs."""

    items = RunSerializer(many=True)
    page = PageSerializer()


class PauseSerializer(serializers.Serializer[Any]):
    """An empty body will do."""

    reason = serializers.CharField(max_length=1_000, default="", allow_blank=True)


class BackfillSerializer(serializers.Serializer[Any]):
    """Which times to make up for."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="Excluded; not in the future.")
    dry_run = serializers.BooleanField(default=False)


class ScheduleList(ApiView):
    """The schedules."""

    permissions_by_method: ClassVar[dict[str, str]] = {"POST": "manage_schedule"}

    @extend_schema(tags=["schedules"], parameters=[PageQuery], responses=SchedulePage)
    def get(self, request: Request) -> Response:
        """List schedules by name."""
        query = read_query(request, PageQuery)
        rows = Schedule.objects.select_related("created_by")
        page = paginate(rows, Sort("name"), scope="schedules", query=query)
        return Response(page.envelope(ScheduleSerializer(page.rows, many=True).data))

    @extend_schema(
        tags=["schedules"],
        request=NewSchedule,
        responses={201: ScheduleSerializer, 200: TimesSerializer},
    )
    def post(self, request: Request) -> Response:
        """Make a schedule; with `dry_run`, only see its next times."""
        form = NewSchedule(data=request.data)
        form.is_valid(raise_exception=True)
        fields = dict(form.validated_data)
        if fields.pop("dry_run"):
            return Response(_next_times(draft(self.caller, fields), 10))
        made = services.create_schedule(self.caller, fields)
        headers = {"Location": reverse("api:schedule", args=[made.name])}
        return Response(ScheduleSerializer(made).data, status=201, headers=headers)


class ScheduleDetail(ApiView):
    """One schedule."""

    http_method_names = ["get", "head", "put", "delete"]
    permissions_by_method: ClassVar[dict[str, str]] = {
        "PUT": "manage_schedule",
        "DELETE": "manage_schedule",
    }

    @extend_schema(
        tags=["schedules"], parameters=[etags.IF_NONE_MATCH], responses=ScheduleSerializer
    )
    def get(self, request: Request, name: str) -> Response:
        """What it is set to, and when it runs next."""
        read_query(request, serializers.Serializer)
        schedule = _find(name)
        return etags.tagged(request, _tag(schedule), ScheduleSerializer(schedule).data)

    @extend_schema(
        tags=["schedules"],
        parameters=[etags.IF_MATCH],
        request=ScheduleSettings,
        responses=ScheduleSerializer,
    )
    def put(self, request: Request, name: str) -> Response:
        """Change its settings; what is left out has its default again."""
        form = ScheduleSettings(data=request.data)
        form.is_valid(raise_exception=True)
        schedule = _find(name)
        etags.require_match(request, _tag(schedule), f"The schedule {name!r}")
        changed = services.replace_schedule(self.caller, schedule, form.validated_data)
        return Response(ScheduleSerializer(changed).data, headers={"ETag": _tag(changed)})

    @extend_schema(
        tags=["schedules"], parameters=[etags.IF_MATCH], responses={200: ScheduleSerializer}
    )
    def delete(self, request: Request, name: str) -> Response:
        """Forget it, and answer what it was; the workflows that it launched stay."""
        schedule = _find(name)
        etags.require_match(request, _tag(schedule), f"The schedule {name!r}")
        was = ScheduleSerializer(schedule).data
        services.delete_schedule(self.caller, schedule)
        return Response(was)


class SchedulePreview(ApiView):
    """The next times of a schedule."""

    @extend_schema(tags=["schedules"], parameters=[PreviewQuery], responses=TimesSerializer)
    def get(self, request: Request, name: str) -> Response:
        """The next times by its rule, without jitter."""
        query = read_query(request, PreviewQuery)
        return Response(_next_times(_find(name), query["count"]))


class ScheduleRuns(ApiView):
    """What became of a schedule's times."""

    @extend_schema(tags=["schedules"], parameters=[PageQuery], responses=RunPage)
    def get(self, request: Request, name: str) -> Response:
        """List runs, the latest first."""
        query = read_query(request, PageQuery)
        schedule = _find(name)
        order, scope = Sort("due_at", True), f"runs {schedule.pk}"
        page = paginate(schedule.runs.all(), order, scope=scope, query=query)
        return Response(page.envelope(RunSerializer(page.rows, many=True).data))


class ScheduleBackfill(ApiView):
    """Runs for times that have passed."""

    permission: ClassVar[str | None] = "manage_schedule"

    @extend_schema(
        tags=["schedules"],
        request=BackfillSerializer,
        responses={200: TimesSerializer, 202: TimesSerializer},
    )
    def post(self, request: Request, name: str) -> Response:
        """Run the times between two moments that have not run; `dry_run` only lists them."""
        form = BackfillSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        schedule, asked = _find(name), form.validated_data
        times = services.backfill(self.caller, schedule, **asked)
        return Response(_times(schedule, times), status=200 if asked["dry_run"] else 202)


class ScheduleAction(ApiView):
    """Pause, unpause or trigger a schedule."""

    permission: ClassVar[str | None] = "manage_schedule"

    @extend_schema(
        tags=["schedules"],
        request=PauseSerializer,
        responses={200: ScheduleSerializer, 202: RunSerializer},
    )
    def post(self, request: Request, name: str, verb: str) -> Response:
        """`pause`, `unpause`, or `trigger`, which launches now and answers the run."""
        form = PauseSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        schedule = _find(name)
        if verb == "trigger":
            return Response(RunSerializer(services.trigger(self.caller, schedule)).data, status=202)
        if verb == "pause":
            services.pause_schedule(self.caller, schedule, reason=form.validated_data["reason"])
        elif verb == "unpause":
            services.unpause_schedule(self.caller, schedule)
        else:
            raise NotFound(f"There is no action {verb!r}; use: pause, unpause, trigger.")
        return Response(ScheduleSerializer(_find(name)).data)


def _find(name: str) -> Schedule:
    found = Schedule.objects.select_related("created_by").filter(name=name).first()
    if found is None:
        raise NotFound(f"There is no schedule {name!r}.")
    return found


def _tag(schedule: Schedule) -> str:
    """Of what people set; when it runs next or ran last does not count."""
    return etags.of_settings({name: getattr(schedule, name) for name in (*SETTINGS, "paused")})


def _next_times(schedule: Schedule, number: int) -> dict[str, Any]:
    return _times(schedule, rule_of(schedule).preview(timezone.now(), number))


def _times(schedule: Schedule, times: list[datetime]) -> dict[str, Any]:
    zone = ZoneInfo(schedule.timezone)
    local = [f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" for time in times]
    return dict(TimesSerializer({"times": times, "local": local}).data)
