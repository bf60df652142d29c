"""Times, durations and their ranges, as people write them in a query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.utils.dateparse import parse_datetime

from workflows_app.search.language import BadQuery, Value

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w)")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` (included) to ``end`` (excluded); None is without bound."""

    start: datetime | None = None
    end: datetime | None = None


def duration_ms(value: Value) -> int:
    """``10m``, ``1.5h``, ``500ms`` in milliseconds.

    Raises:
        BadQuery: it is no duration.
    """
    amount = _amount(value.text)
    if amount is None:
        raise BadQuery(f"{value.text!r} is no duration; write 500ms, 30s, 10m, 2h or 1d.", value.at)
    return round(amount / _UNITS["ms"])


def span(value: Value, now: datetime) -> Span:
    """What a time without an operator means: a day, a range ``a..b``, or ``-24h``: since then.

    Raises:
        BadQuery: it is no time.
    """
    first, dots, last = value.text.partition("..")
    if dots:
        end = _moment(last, value.at + len(first) + 2, now) if last else None
        if end is not None and _DAY.fullmatch(last):
            end = _next_day(end, value.at)
        return Span(_moment(first, value.at, now) if first else None, end)
    start = _moment(value.text, value.at, now)
    if _DAY.fullmatch(value.text):
        return Span(start, _next_day(start, value.at))
    return Span(start)


def compared(op: str, value: Value, now: datetime) -> Span:
    """What ``>``, ``>=``, ``<`` and ``<=`` mean for a time; a day begins and ends at midnight UTC.

    Raises:
        BadQuery: it is no time.
    """
    moment = _moment(value.text, value.at, now)
    is_day = _DAY.fullmatch(value.text) is not None
    if op in (">", "<="):  # beyond the whole day, or up to its end
        beyond = _next_day(moment, value.at) if is_day else moment + timedelta(microseconds=1)
        return Span(start=beyond) if op == ">" else Span(end=beyond)
    return Span(start=moment) if op == ">=" else Span(end=moment)


def _moment(text: str, at: int, now: datetime) -> datetime:
    """A point of time: ``2026-10-01``, ``2026-10-01T12:00:00Z``, ``-24h`` or ``now``; without zone UTC."""
    try:
        if text == "now":
            return now
        if text.startswith("-") and (amount := _amount(text[1:])) is not None:
            return now - amount
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        if (found := parse_datetime(text)) is not None:
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BadQuery(
        f"{text!r} is no time; write 2026-10-01, 2026-10-01T12:00:00Z, -24h or a range a..b.", at
    )


def _amount(text: str) -> timedelta | None:
    match = _AMOUNT.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def _next_day(moment: datetime, at: int) -> datetime:
    try:
        return moment + timedelta(days=1)
    except OverflowError:
        raise BadQuery("The calendar ends there.", at) from None
