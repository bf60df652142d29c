"""``/schedules/``: definitions that are launched at certain times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods

from workflows_app import access, keyset, services
from workflows_app.models import Definition, Schedule, ScheduleRun
from workflows_app.pages import schedule_form, schema_values
from workflows_app.pages.rendering import is_fragment, page, show, topic, user_of
from workflows_app.pages.schema_fields import fields_of
from workflows_app.problems import Forbidden, Invalid, NotFound, Problem
from workflows_app.services.launching import mistakes_in
from workflows_app.services.schedules import draft, rule_of

SIZE = 50
NEXT = 10
MOST_DEFINITIONS = 200
BY_NAME = keyset.Sort("name")
LATEST_FIRST = keyset.Sort("due_at", descending=True)
SHOWN_TIMES = 50


@require_GET
@page
def schedule_list(request: HttpRequest) -> HttpResponseBase:
    """All schedules by name."""
    found = keyset.paged(
        Schedule.objects.all(),
        BY_NAME,
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    context = {"found": found, "may_manage": access.can(request.user, "manage_schedule")}
    return show(request, "pages/schedules.html", context, live=[topic("overview")])


@require_GET
@page
def schedule_detail(request: HttpRequest, name: str) -> HttpResponseBase:
    """Its next times in both zones, what became of the last ones, and what can be done."""
    schedule = _find(name)
    found = keyset.paged(
        schedule.runs.all(),
        LATEST_FIRST,
        cursor=request.GET.get("cursor", ""),
        size=SIZE,
        scope=request.path,
    )
    workflows = _workflows(request, found.rows)
    ended = [status for status in workflows.values() if status not in ("PENDING", "RUNNING")]
    context = {
        "schedule": schedule,
        "times": _in_both_zones(schedule, rule_of(schedule).preview(timezone.now(), NEXT)),
        "found": found,
        "runs": [(run, workflows.get(run.workflow_id)) for run in found.rows],
        "ended": len(ended),
        "succeeded": ended.count("SUCCESSFUL"),
        "may_manage": access.can(request.user, "manage_schedule"),
    }
    return show(request, "pages/schedule.html", context, live=[topic("overview")])


@require_http_methods(["GET", "POST"])
@page
def schedule_new(request: HttpRequest) -> HttpResponseBase:
    """The form of a new schedule; its next times are shown before it is saved."""
    access.require(request.user, "manage_schedule")
    chosen = (request.POST if request.method == "POST" else request.GET).get("definition", "")
    if not chosen:
        definitions = Definition.objects.filter(available=True)[:MOST_DEFINITIONS]
        return show(request, "pages/schedule_choice.html", {"definitions": definitions})
    definition = _definition(chosen)
    if request.method == "GET":
        values = schema_values.defaults(fields_of(definition.params_schema))
        return _show_form(request, definition, schedule_form.empty(), values)
    return _save(request, definition, None)


@require_http_methods(["GET", "POST"])
@page
def schedule_edit(request: HttpRequest, name: str) -> HttpResponseBase:
    """The same form for a schedule that exists; its name stays."""
    access.require(request.user, "manage_schedule")
    schedule = _find(name)
    definition = _definition(schedule.definition)
    if request.method == "GET":
        form = schedule_form.of(schedule)
        return _show_form(request, definition, form, schedule.params, schedule=schedule)
    return _save(request, definition, schedule)


@require_http_methods(["GET", "POST"])
@page
def schedule_action(request: HttpRequest, name: str, verb: str) -> HttpResponseBase:
    """Pause, unpause, trigger or delete it, or make up for times that have passed."""
    if verb not in ACTIONS:
        raise NotFound(f"A schedule has no action {verb!r}; use: {', '.join(ACTIONS)}.")
    schedule, user = _find(name), user_of(request)
    if request.method == "GET":
        return _ask(request, schedule, verb)
    try:
        said = ACTIONS[verb](user, schedule, request)
    except Forbidden:
        raise
    except Problem as problem:
        messages.error(request, problem.detail)
        said = ""
    if said:
        messages.success(request, said)
    gone = verb == "delete" and said
    return HttpResponseRedirect(
        reverse("schedules") if gone else reverse("schedule", args=[schedule.name])
    )


def _ask(request: HttpRequest, schedule: Schedule, verb: str) -> HttpResponseBase:
    """The question before it is deleted; everything else is asked on its page."""
    access.require(request.user, "manage_schedule")
    if verb != "delete":
        return HttpResponseRedirect(reverse("schedule", args=[schedule.name]))
    template = "parts/confirm_schedule.html" if is_fragment(request) else "pages/confirm.html"
    return show(request, template, {"schedule": schedule, "body": "parts/confirm_schedule.html"})


def _save(
    request: HttpRequest, definition: Definition, schedule: Schedule | None
) -> HttpResponseBase:
    """Save what was sent, or show its next times or its mistakes."""
    form = schedule_form.submitted(request.POST, name=schedule.name if schedule else None)
    parsed = schema_values.parse(fields_of(definition.params_schema), request.POST)
    errors = list(parsed.errors) or mistakes_in(definition.params_schema, parsed.params)
    times: list[Any] = []
    if form.is_valid() and not errors:
        fields = {
            **form.settings(),
            "definition": definition.name,
            "params": parsed.params,
            "tags": schedule.tags if schedule else {},
        }
        user = user_of(request)
        try:
            if "preview" in request.POST:
                drafted = draft(user, fields)
                times = _in_both_zones(drafted, rule_of(drafted).preview(timezone.now(), NEXT))
            else:
                saved = (
                    services.replace_schedule(user, schedule, fields)
                    if schedule
                    else services.create_schedule(user, fields)
                )
                messages.success(request, f"The schedule {saved.name} is saved.")
                return HttpResponseRedirect(reverse("schedule", args=[saved.name]))
        except Forbidden:
            raise
        except Problem as problem:
            schedule_form.add_problems(form, problem.errors or [{"detail": problem.detail}])
    return _show_form(
        request, definition, form, parsed.params, schedule=schedule, errors=errors, times=times
    )


def _show_form(
    request: HttpRequest,
    definition: Definition,
    form: schedule_form.ScheduleForm,
    values: dict[str, Any],
    *,
    schedule: Schedule | None = None,
    errors: list[dict[str, Any]] | None = None,
    times: list[Any] | None = None,
) -> HttpResponseBase:
    fields, wrong = fields_of(definition.params_schema), errors or []
    raw = request.POST if request.method == "POST" else None
    context = {
        "definition": definition,
        "schedule": schedule,
        "form": form,
        "rows": schema_values.rows(fields, values, errors=wrong, raw=raw),
        "general_errors": [
            *schema_values.with_general_errors(wrong, fields),
            *form.non_field_errors(),
        ],
        "times": times or [],
        "zones": schedule_form.zones(),
    }
    status = 400 if wrong or form.errors else 200
    return show(request, "pages/schedule_form.html", context, status=status)


def _find(name: str) -> Schedule:
    found = Schedule.objects.select_related("created_by").filter(name=name).first()
    if found is None:
        raise NotFound(f"There is no schedule {name!r}; the page “Schedules” lists them.")
    return found


def _definition(name: str) -> Definition:
    found = Definition.objects.filter(name=name, available=True).first()
    if found is None:
        raise NotFound(
            f"There is no definition {name!r} that can be launched now; the page “Definitions” lists them."
        )
    return found


def _in_both_zones(schedule: Schedule, times: list[datetime]) -> list[tuple[datetime, str]]:
    zone = ZoneInfo(schedule.timezone)
    return [(time, f"{time.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}") for time in times]


def _workflows(request: HttpRequest, runs: list[ScheduleRun]) -> dict[str, str]:
    """The statuses of the workflows that were launched and still exist."""
    ids = [run.workflow_id for run in runs if run.workflow_id]
    visible: Any = access.workflows_for(request.user)
    found: dict[str, str] = dict(
        visible.filter(workflow_id__in=ids).values_list("workflow_id", "status")
    )
    return found


def _pause(user: User, schedule: Schedule, request: HttpRequest) -> str:
    reason = request.POST.get("reason", "").strip()[:1_000]
    services.pause_schedule(user, schedule, reason=reason)
    return "Paused. Times that come meanwhile are left out."


def _unpause(user: User, schedule: Schedule, request: HttpRequest) -> str:
    services.unpause_schedule(user, schedule)
    return "It goes on with its next time."


def _trigger(user: User, schedule: Schedule, request: HttpRequest) -> str:
    run = services.trigger(user, schedule)
    return f"Launched as {run.workflow_id}."


def _delete(user: User, schedule: Schedule, request: HttpRequest) -> str:
    services.delete_schedule(user, schedule)
    return f"The schedule {schedule.name} is deleted. The workflows that it launched stay."


def _backfill(user: User, schedule: Schedule, request: HttpRequest) -> str:
    start, end = (_moment(request, schedule, name) for name in ("start", "end"))
    is_preview = "preview" in request.POST
    times = services.backfill(user, schedule, start, end, dry_run=is_preview)
    if not is_preview:
        return f"{len(times)} runs will follow, one after the other."
    shown = ", ".join(text for _, text in _in_both_zones(schedule, times[:SHOWN_TIMES]))
    more = f" and {len(times) - SHOWN_TIMES} more" if len(times) > SHOWN_TIMES else ""
    return f"{len(times)} times have not run{': ' if shown else '.'}{shown}{more}"


def _moment(request: HttpRequest, schedule: Schedule, name: str) -> datetime:
    """A time as it was typed: in the schedule's zone unless it names one.

    Raises:
        Invalid: it is none.
    """
    text = request.POST.get(name, "").strip()
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise Invalid(f"Write the {name} as a date and a time, such as 2026-03-01 06:00.")
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(schedule.timezone))


ACTIONS: dict[str, Callable[[User, Schedule, HttpRequest], str]] = {
    "pause": _pause,
    "unpause": _unpause,
    "trigger": _trigger,
    "delete": _delete,
    "backfill": _backfill,
}
