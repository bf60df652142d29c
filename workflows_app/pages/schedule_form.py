"""The form of a schedule: when it runs, with which parameters, and what happens if runs overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.http import QueryDict

from workflows_app.models import Overlap, Schedule

UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
YEAR_SECONDS = 366 * 86_400
DAY_SECONDS = 86_400


class ScheduleForm(forms.Form):
    """Everything but the definition and its parameters, which have a form of their own."""

    name = forms.RegexField(
        r"^[A-Za-z0-9._~-]{1,100}$",
        max_length=100,
        help_text="Letters, digits and . _ ~ -",
        error_messages={"invalid": "1 to 100 letters, digits and . _ ~ -"},
    )
    rule = forms.ChoiceField(
        label="Runs",
        choices=[("cron", "At times, as a cron line says"), ("interval", "Every so often")],
    )
    cron = forms.CharField(
        label="Cron line",
        required=False,
        max_length=200,
        help_text="Minute, hour, day of month, month, day of week: 0 6 * * 1-5 is 6:00 on workdays.",
    )
    timezone = forms.CharField(
        label="Time zone", max_length=64, help_text="Of the cron line, such as Europe/Lisbon."
    )
    every = forms.IntegerField(label="Every", required=False, min_value=1)
    unit = forms.ChoiceField(label="Unit", choices=[(unit, unit) for unit in UNITS])
    overlap = forms.ChoiceField(label="If an earlier run has not ended", choices=Overlap.choices)
    catch_up_seconds = forms.IntegerField(
        label="Catch up within, seconds",
        min_value=0,
        max_value=YEAR_SECONDS,
        help_text="A time that could not be kept for longer than this is missed.",
    )
    jitter_seconds = forms.IntegerField(
        label="Jitter, seconds",
        min_value=0,
        max_value=DAY_SECONDS,
        help_text="Each run starts later by up to this, always the same for the same time.",
    )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("rule") == "cron" and not values.get("cron"):
            self.add_error("cron", "Write a cron line, such as 0 6 * * 1-5.")
        if values.get("rule") == "interval" and "every" not in self.errors:
            if not values.get("every"):
                self.add_error("every", "Write a number, such as 30.")
            elif values["every"] * UNITS[values.get("unit", "seconds")] > YEAR_SECONDS:
                self.add_error("every", "At most a year.")
        return values

    def settings(self) -> dict[str, Any]:
        """What the service takes, of a form that is valid."""
        values = self.cleaned_data
        is_cron = values["rule"] == "cron"
        every = None if is_cron else values["every"] * UNITS[values["unit"]]
        names = ("name", "timezone", "overlap", "catch_up_seconds", "jitter_seconds")
        return {
            **{name: values[name] for name in names},
            "cron": values["cron"] if is_cron else "",
            "every_seconds": every,
        }


def empty(zone: str = "UTC") -> ScheduleForm:
    """The form of a new schedule."""
    return ScheduleForm(
        initial={
            "rule": "cron",
            "timezone": zone,
            "unit": "minutes",
            "overlap": Overlap.SKIP,
            "catch_up_seconds": 600,
            "jitter_seconds": 0,
        }
    )


def of(schedule: Schedule) -> ScheduleForm:
    """The form that holds what a schedule is set to."""
    every, unit = _in_units(schedule.every_seconds)
    same = ("name", "cron", "timezone", "overlap", "catch_up_seconds", "jitter_seconds")
    return ScheduleForm(
        initial={
            **{name: getattr(schedule, name) for name in same},
            "rule": "cron" if schedule.cron else "interval",
            "every": every,
            "unit": unit,
        }
    )


def submitted(post: QueryDict, *, name: str | None = None) -> ScheduleForm:
    """The form as it was sent; the name of a schedule that exists stays."""
    data = post.copy()
    if name is not None:
        data["name"] = name
    return ScheduleForm(data)


def add_problems(form: ScheduleForm, errors: Sequence[Mapping[str, Any]]) -> None:
    """Show what the service refuses at the fields that it is about."""
    for error in errors:
        field = str(error.get("pointer", "")).removeprefix("/").replace("every_seconds", "every")
        form.add_error(field if field in form.fields else None, str(error["detail"]))


def zones() -> list[str]:
    """The time zones that can be chosen."""
    return sorted(zone for zone in available_timezones() if "/" in zone or zone == "UTC")


def _in_units(seconds: int | None) -> tuple[int | None, str]:
    if not seconds:
        return None, "minutes"
    unit = next(name for name in reversed(UNITS) if seconds % UNITS[name] == 0)
    return seconds // UNITS[unit], unit
