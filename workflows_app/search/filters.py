"""Terms made conditions for the database, so that no query can make it read a whole table.

Times, statuses, ids, definitions, actors and durations have indexes. Other terms are accepted beside one
of those, and a time range beside which they stand is at most 31 days long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Q
from django.utils import timezone

from workflows_app.models import WorkflowStatus
from workflows_app.search import columns
from workflows_app.search.language import BadQuery, Term, Value, read
from workflows_app.search.values import Span, compared, duration_ms, span

LONGEST = timedelta(days=31)
FAILING = (WorkflowStatus.FAILED, WorkflowStatus.RESUMABLE)
_TIME_OPS = ("", ">", ">=", "<", "<=")
_COMPANIONS = "a time range of at most 31 days, such as created:-7d, or an id, definition or status"

Condition = Callable[[str, Value, datetime], Q]


@dataclass(frozen=True, slots=True)
class Key:
    """A word before the colon.

    ``condition`` makes the condition of one value for an operator. ``is_payload``: it tells of values, so
    only who may see those can ask for it.
    """

    help: str
    example: str
    condition: Condition
    ops: tuple[str, ...] = ("", "!", "~")
    is_indexed: bool = False
    is_payload: bool = False


def _text(field: str, op: str, value: Value, now: datetime) -> Q:
    if value.is_none:
        return Q(**{f"{field}__isnull": True})
    if op == "~":
        return Q(**{f"{field}__icontains": value.text})
    if value.prefix is not None:
        return columns.starts_with(field, value.prefix)
    return Q(**{field: value.text})


def _definition(op: str, value: Value, now: datetime) -> Q:
    if value.prefix is not None and op != "~":
        return columns.of_definitions(starting=value.prefix)
    return _text("definition", op, value, now)


def _status(op: str, value: Value, now: datetime) -> Q:
    name = value.text.upper()
    if name not in WorkflowStatus.values:
        raise BadQuery(
            f"{value.text!r} is not a status; use: {', '.join(WorkflowStatus.values)}.", value.at
        )
    return Q(status=name)


def _time(field: str, op: str, value: Value, now: datetime) -> Q:
    if value.is_none:
        return Q(**{f"{field}__isnull": True})
    found = _span(op, value, now)
    condition = Q(**{f"{field}__gte": found.start}) if found.start else Q()
    return condition & Q(**{f"{field}__lt": found.end}) if found.end else condition


def _span(op: str, value: Value, now: datetime) -> Span:
    return compared(op, value, now) if op else span(value, now)


def _duration(op: str, value: Value, now: datetime) -> Q:
    if value.is_none:
        return Q(duration_ms__isnull=True)
    first, dots, last = value.text.partition("..")
    if dots and not op:
        parts = (Value(first, value.at), Value(last, value.at + len(first) + 2))
        lowest, highest = (duration_ms(part) for part in parts)
        return Q(duration_ms__gte=lowest, duration_ms__lte=highest)
    lookup = {"": "exact", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}[op]
    return Q(**{f"duration_ms__{lookup}": duration_ms(value)})


def _error(op: str, value: Value, now: datetime) -> Q:
    if value.is_none:
        return Q(error__isnull=True)
    return Q(error__message__icontains=value.text) | Q(error__type=value.text)


def _resolved(op: str, value: Value, now: datetime) -> Q:
    words = {"true": True, "yes": True, "false": False, "no": False}
    wanted = words.get(value.text.lower())
    if wanted is None:
        raise BadQuery(f"resolved takes true or false, not {value.text!r}.", value.at)
    # Only failures can be resolved or not, and they have an index of their own.
    return Q(status__in=FAILING, resolved=wanted)


def _json(field: str, name: str, op: str, value: Value, now: datetime) -> Q:
    return columns.json_is(field, name, value.text, is_text=value.is_quoted or field == "tags")


def _times(what: str, field: str) -> Key:
    example = f"{what}:-24h, {what}:>=2026-10-01, {what}:2026-10-01..2026-10-07"
    return Key(f"when it was {what}", example, partial(_time, field), _TIME_OPS, is_indexed=True)


KEYS: dict[str, Key] = {
    "status": Key(
        "its status", "status:[FAILED,RESUMABLE], status:!SUCCESSFUL", _status, ("", "!"), True
    ),
    "id": Key(
        "its id", "id:etl-2026*, id:~nightly", partial(_text, "workflow_id"), is_indexed=True
    ),
    "definition": Key("its definition", "definition:etl*", _definition, is_indexed=True),
    "actor": Key("its class, for actors", "actor:none", partial(_text, "actor"), is_indexed=True),
    "created": _times("created", "created_at"),
    "started": _times("started", "started_at"),
    "finished": _times("finished", "finished_at"),
    "duration": Key(
        "how long it took", "duration:>10m, duration:1s..2s", _duration, _TIME_OPS, is_indexed=True
    ),
    "resolved": Key(
        "failures that still need somebody, or not", "resolved:false", _resolved, ("",), True
    ),
    "failure": Key(
        "its group of failures",
        "failure:1f0c2d3e4a5b6c7d",
        partial(_text, "failure_group"),
        ("",),
        True,
    ),
    "fork_of": Key(
        "the workflow it is a fork of",
        "fork_of:etl-17, fork_of:none",
        partial(_text, "forked_from"),
        ("",),
        True,
    ),
    "user": Key("who started it", "user:ada", partial(_text, "created_by")),
    "pending": Key(
        "the command under way", "pending:cancel", partial(_text, "pending_command"), ("", "!")
    ),
    "error": Key(
        "its error's type, or text in its message",
        'error:"out of memory", error:ValueError',
        _error,
        ("", "!", "~"),
        is_payload=True,
    ),
}
_JSON = {
    "tag": Key("one of its tags", "tag.team:ml", partial(_json, "tags"), ("", "!"), True),
    "meta": Key(
        "its metadata", "meta.customer:42", partial(_json, "user_metadata"), ("", "!"), False
    ),
}
ALL_KEYS = {**KEYS, **{f"{head}.NAME": key for head, key in _JSON.items()}}
_ALIASES = {"name": "definition", "attr": "meta"}


class Search:
    """A query that was read and checked; :attr:`condition` is what it asks for.

    Args:
        text: the query.
        may_see_payload: whether the account may see values, and so may ask for them.
        is_narrowed: something else narrows the list already, so no term needs a companion.
        now: what relative times are relative to.

    Raises:
        BadQuery: an unknown key, a bad value, or a term that needs another one beside it.
    """

    def __init__(
        self,
        text: str,
        *,
        may_see_payload: bool = True,
        is_narrowed: bool = False,
        now: datetime | None = None,
    ) -> None:
        self._now = now or timezone.now()
        self._may_see_payload = may_see_payload
        self.condition = Q()
        helping, lonely = is_narrowed, []
        for term in read(text):
            key, condition = self._condition(term)
            self.condition &= condition
            if self._is_indexed(term, key):
                helping = True
            elif key is None or not key.is_indexed or term.op in ("!", "~"):
                lonely.append(term)
        if lonely and not helping:
            named = f"{lonely[0].key}:{lonely[0].op}"
            raise BadQuery(f"{named} would read every workflow; add {_COMPANIONS}.", lonely[0].at)

    def _condition(self, term: Term) -> tuple[Key | None, Q]:
        if not term.key:
            return None, columns.word(term.values[0].text)
        key, condition = self._key(term)
        if key.is_payload and not self._may_see_payload:
            raise BadQuery(f"{term.key} tells of values, which this account may not see.", term.at)
        if term.op not in key.ops:
            usable = ", ".join(f"{term.key}:{op}" for op in key.ops)
            raise BadQuery(f"{term.key} does not know {term.op}; use {usable}.", term.at)
        any_of = Q()
        for value in term.values:
            any_of |= condition(term.op, value, self._now)
        return key, ~any_of if term.op == "!" else any_of

    def _key(self, term: Term) -> tuple[Key, Condition]:
        head, dot, name = term.key.partition(".")
        known = _ALIASES.get(head, head)
        if dot and name and known in _JSON:
            key = _JSON[known]
            return key, partial(key.condition, name)
        if known in KEYS and not dot:
            return KEYS[known], KEYS[known].condition
        usable = ", ".join(ALL_KEYS)
        raise BadQuery(f"There is no key {term.key!r}; use: {usable}.", term.at)

    def _is_indexed(self, term: Term, key: Key | None) -> bool:
        """Whether the term alone keeps the database from reading the table."""
        if key is None:
            return True  # the beginning of an id, or the name of a definition
        if not key.is_indexed or term.op == "~" or (term.op == "!" and key is not KEYS["status"]):
            return False
        if key not in (KEYS["created"], KEYS["started"], KEYS["finished"]):
            return True
        return all(self._is_short(term.op, value) for value in term.values)

    def _is_short(self, op: str, value: Value) -> bool:
        if value.is_none:
            return False
        found = _span(op, value, self._now)
        return found.start is not None and (found.end or self._now) - found.start <= LONGEST
