"""Book a trip with a service that often fails: retries, and a way back when one part is sold out.

The idea: every booking is a call to somebody else's service, which may refuse, or do what was
asked and lose the answer on the way. So

- each booking first gets an idempotency token from a task of its own. Its checkpoint makes sure
  that a retry, or a resume after a crash, asks with the *same* token and is never booked twice;
- a service that does not answer is asked again (``max_retries`` with ``retry_exceptions``). That
  a hotel is sold out is an answer, hence a value and no exception: asking again changes nothing;
- the outcome of each booking is caught (``catch_exceptions``), because someone must decide: pay
  if all three are there, else cancel them (the compensation). Canceling goes by token, not by
  booking, since a service that never answered may have booked all the same;
- an expensive trip is paid when a person says so (``workflow.approval``). Nothing runs while they
  think, for hours if need be; who does not answer in time has said no.

    book_trip ─ continuation ─> make_token ── book_flight, book_flight, book_hotel
                                          ── finalize_or_cancel ─ continuation ─> approve_trip
                                             │                                    ── settle
                                             ├─ continuation ─> confirm <───────────┤
                                             └─ continuation ─> cancel_booking <────┘
                                                                ── call_off
"""

# Ray's own types leave the result of .bind() open.
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

import json
import os
import random
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import ray
from pydantic import Field
from ray.dag import DAGNode

from rayflow import workflow

Outcome = tuple["Booking | None", Exception | None]

#: Ask a service that does not answer again, up to 20 times.
KEEP_ASKING: dict[str, Any] = {"max_retries": 20, "retry_exceptions": True}


class ServiceUnavailableError(ConnectionError):
    """The booking service did not answer. It may have done what was asked all the same."""


@dataclass(frozen=True)
class Booking:
    """What the service has written down under one token: booked, sold out, or canceled."""

    token: str
    what: str
    price: int
    state: str


@dataclass(frozen=True)
class BookingService:
    """Somebody else's service, unreliable on purpose. Its ledger is a folder of files.

    ``bookings/<token>.json`` holds each booking; ``calls.jsonl`` gets a line for every call, so
    that the number of calls can be compared with the number of bookings.
    """

    ledger: str
    failure_probability: float
    seed: int

    def book(self, token: str, what: str, price: int, *, sold_out: bool = False) -> Booking:
        """Book, or return what was written down under this token before.

        Raises:
            ServiceUnavailableError: before or after the booking was written down.
        """
        asked = Booking(token, what, price, "sold out" if sold_out else "booked")
        return self._call(what, lambda: self._read(token) or self._write(asked))

    def cancel(self, token: str) -> Booking:
        """Cancel whatever there is under this token, now and for ever.

        Raises:
            ServiceUnavailableError: before or after the booking was canceled.
        """
        known = self._read(token) or Booking(token, "nothing", 0, "canceled")
        return self._call(
            f"cancel {known.what}", lambda: self._write(replace(known, state="canceled"))
        )

    def calls(self) -> int:
        """How many calls the service has received, answered or not."""
        log = Path(self.ledger) / "calls.jsonl"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def _call(self, name: str, act: Callable[[], Booking]) -> Booking:
        refused, lost = self._luck(name)
        if refused:
            raise ServiceUnavailableError(f"No connection ({name}).")
        booking = act()
        if lost:
            raise ServiceUnavailableError(f"The answer got lost ({name}).")
        return booking

    def _luck(self, call: str) -> tuple[bool, bool]:
        """Whether this call is refused, and whether its answer is lost: the same in every run."""
        log = Path(self.ledger) / "calls.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a+") as file:
            file.write(json.dumps({"call": call}) + "\n")
            file.seek(0)
            number = sum(json.loads(line)["call"] == call for line in file)
        dice = random.Random(f"{self.seed}/{call}/{number}")
        share = self.failure_probability / 2
        return dice.random() < share, dice.random() < share

    def _path(self, token: str) -> Path:
        return Path(self.ledger) / "bookings" / f"{token}.json"

    def _read(self, token: str) -> Booking | None:
        path = self._path(token)
        return Booking(**json.loads(path.read_text())) if path.exists() else None

    def _write(self, booking: Booking) -> Booking:
        path = self._path(booking.token)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(booking)))
        draft.replace(path)
        return booking


@dataclass(frozen=True)
class Consent:
    """When a person is asked: for trips that cost more than ``above``, for up to ``within`` seconds."""

    above: int = 2_000
    within: float = 24 * 3600.0


@workflow.definition(tags={"example": "business-process"})
def trip_booking(
    origin: Annotated[str, Field(pattern="^[A-Z]{3}$", description="Airport code.")] = "OAK",
    destination: Annotated[str, Field(pattern="^[A-Z]{3}$", description="Airport code.")] = "SAN",
    depart: date = date(2030, 6, 12),
    back: Annotated[date, Field(title="Return")] = date(2030, 7, 5),
    failure_probability: Annotated[
        float, Field(ge=0, le=0.9, description="How often a call to the service fails.")
    ] = 0.6,
    seed: Annotated[int, Field(description="Decides which calls fail.")] = 7,
    hotel_sold_out: Annotated[
        bool, Field(description="The hotel has no room: everything booked is canceled.")
    ] = False,
    ask_above: Annotated[
        int, Field(ge=0, description="A person must approve a trip that costs more than this.")
    ] = Consent.above,
    answer_within: Annotated[
        float, Field(gt=0, description="Seconds that they have. No answer is a no.")
    ] = Consent.within,
    ledger: Annotated[
        str, Field(description="Folder of the booking service. Empty: a new temporary one.")
    ] = "",
) -> DAGNode:
    """Book two flights and a hotel with a service that often fails. If the hotel is sold out, the
    flights are canceled again, as they are if nobody approves of an expensive trip in time.
    """
    if back < depart:
        raise ValueError(f"The return on {back} is before the departure on {depart}.")
    folder = ledger or tempfile.mkdtemp(prefix="rayflow-trip-")
    service = BookingService(folder, failure_probability, seed)
    dates = [depart.isoformat(), back.isoformat()]
    consent = Consent(ask_above, answer_within)
    dag: DAGNode = book_trip.bind(service, origin, destination, dates, hotel_sold_out, consent)
    return dag


@workflow.options(task_id="book_trip")
@ray.remote
def book_trip(
    service: BookingService,
    origin: str,
    destination: str,
    dates: list[str],
    hotel_sold_out: bool,
    consent: Consent = Consent(),
) -> Any:
    """Start the three bookings side by side, each with a token of its own."""
    leave, back = dates
    tokens = [make_token.bind() for _ in range(3)]
    out = book_flight.options(**workflow.options(task_id="outbound_flight"))
    home = book_flight.options(**workflow.options(task_id="return_flight"))
    bookings = [
        out.bind(service, tokens[0], origin, destination, leave),
        home.bind(service, tokens[1], destination, origin, back),
        book_hotel.bind(service, tokens[2], destination, dates, hotel_sold_out),
    ]
    return workflow.continuation(finalize_or_cancel.bind(service, tokens, bookings, consent))


@workflow.options(task_id="make_token")
@ray.remote
def make_token() -> str:
    """An idempotency token. As a task, so that its checkpoint keeps it through every retry."""
    return uuid.uuid4().hex


@workflow.options(catch_exceptions=True)
@ray.remote(**KEEP_ASKING)
def book_flight(
    service: BookingService, token: str, origin: str, destination: str, day: str
) -> Booking:
    return service.book(token, f"flight {origin}-{destination} on {day}", 129)


@workflow.options(task_id="book_hotel", catch_exceptions=True)
@ray.remote(**KEEP_ASKING)
def book_hotel(
    service: BookingService, token: str, city: str, dates: list[str], sold_out: bool
) -> Booking:
    what = f"hotel in {city} from {dates[0]} to {dates[1]}"
    return service.book(token, what, 940, sold_out=sold_out)


@workflow.options(task_id="finalize_or_cancel")
@ray.remote
def finalize_or_cancel(
    service: BookingService,
    tokens: list[ray.ObjectRef[str]],
    bookings: list[ray.ObjectRef[Outcome]],
    consent: Consent,
) -> Any:
    """Go on if everything was booked, else back. Each outcome is (booking, error)."""
    outcomes: list[Outcome] = ray.get(bookings)
    answers = [booking for booking, _ in outcomes if booking is not None]
    reasons = [f"{each.what}: {each.state}" for each in answers if each.state != "booked"]
    reasons += [str(error) for _, error in outcomes if error is not None]
    known = ray.get(tokens)
    if reasons:
        return way_back(service, known, reasons)
    price = sum(booking.price for booking in answers)
    if price <= consent.above:
        return workflow.continuation(confirm.bind(service, answers))
    decision = workflow.approval(
        f"Pay {price} for {', '.join(booking.what for booking in answers)}?",
        timeout=consent.within,
        on_timeout="reject",
        task_id="approve_trip",
    )
    return workflow.continuation(settle.bind(service, known, answers, decision))


@workflow.options(task_id="settle")
@ray.remote
def settle(
    service: BookingService, tokens: list[str], bookings: list[Booking], decision: dict[str, Any]
) -> Any:
    """Do what was decided."""
    if decision["approved"]:
        return workflow.continuation(confirm.bind(service, bookings))
    who = "nobody answered in time" if decision["by"] is None else f"{decision['by']} said no"
    return way_back(service, tokens, [f"the price: {who}"])


def way_back(service: BookingService, tokens: list[str], reasons: list[str]) -> Any:
    canceled = [cancel_booking.bind(service, token) for token in tokens]
    return workflow.continuation(call_off.bind(service, canceled, reasons))


@workflow.options(task_id="cancel_booking")
@ray.remote(**KEEP_ASKING)
def cancel_booking(service: BookingService, token: str) -> Booking:
    """The compensation of one booking. Not caught: a trip half canceled must not look fine."""
    return service.cancel(token)


@workflow.options(task_id="confirm")
@ray.remote
def confirm(service: BookingService, bookings: list[Booking]) -> dict[str, Any]:
    """The receipt of a trip that takes place."""
    return receipt(service, "confirmed", bookings, [])


@workflow.options(task_id="call_off")
@ray.remote
def call_off(
    service: BookingService, canceled: list[ray.ObjectRef[Booking]], reasons: list[str]
) -> dict[str, Any]:
    """The receipt of a trip that does not."""
    return receipt(service, "canceled", ray.get(canceled), reasons)


def receipt(
    service: BookingService, status: str, bookings: list[Booking], reasons: list[str]
) -> dict[str, Any]:
    return {
        "status": status,
        "to_pay": sum(booking.price for booking in bookings if booking.state == "booked"),
        "bookings": [asdict(booking) for booking in bookings],
        "reasons": reasons,
        "calls_to_the_service": service.calls(),
        "ledger": service.ledger,
    }
