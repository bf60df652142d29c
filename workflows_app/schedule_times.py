"""When a schedule is due: cron lines and intervals, in a time zone, with jitter. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from workflows_app.problems import Invalid


@dataclass(frozen=True, slots=True)
class Rule:
    """A cron line of five fields, or an interval that counts from ``anchor``.

    Raises:
        Invalid: not exactly one of the two, a bad line, an interval below a second, an unknown zone.
    """

    cron: str
    every_seconds: int | None
    zone: str
    anchor: datetime

    def __post_init__(self) -> None:
        if bool(self.cron) == (self.every_seconds is not None):
            raise _invalid("/cron", "give either cron or every_seconds")
        if self.every_seconds is not None and self.every_seconds < 1:
            raise _invalid("/every_seconds", "at least 1")
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise _invalid(
                "/timezone", f"{self.zone!r} is no time zone; use one as Europe/Lisbon"
            ) from None
        if self.cron:
            self._line(self.anchor)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after ``moment``, in UTC, without end (but years on, for a cron line of a rare day)."""
        if self.every_seconds is None:
            for found in self._line(moment):
                yield found.astimezone(UTC)
            return
        every = timedelta(seconds=self.every_seconds)
        first = max(0, (moment - self.anchor) // every + 1)
        for number in count(first):
            yield self.anchor + every * number

    def first_after(self, moment: datetime) -> datetime | None:
        """The next time, or None."""
        return next(self.after(moment), None)

    def preview(self, moment: datetime, number: int) -> list[datetime]:
        """The next times."""
        return list(islice(self.after(moment), number))

    def _line(self, moment: datetime) -> CronSim:
        try:
            return CronSim(self.cron, moment.astimezone(ZoneInfo(self.zone)))
        except CronSimError as error:
            detail = (
                f"{self.cron!r} is no cron line ({error}); write five fields such as 0 6 * * 1-5"
            )
            raise _invalid("/cron", detail) from error


def jittered(due: datetime, name: str, jitter_seconds: int) -> datetime:
    """When a time is acted on: later by up to the jitter, always the same for the same time."""
    if not jitter_seconds:
        return due
    digest = hashlib.sha256(f"{name} {due.isoformat()}".encode()).digest()
    share = int.from_bytes(digest[:4], "big") / 2**32
    return due + timedelta(seconds=share * jitter_seconds)


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(
        f"The schedule is not valid: {detail}.", errors=[{"pointer": pointer, "detail": detail}]
    )
