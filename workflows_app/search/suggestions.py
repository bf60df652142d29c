"""What may follow while somebody writes a query: keys, then values of the key under the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workflows_app.models import Definition, WorkflowStatus
from workflows_app.search.filters import ALL_KEYS

MOST = 10
_TIMES = (("-1h", "the last hour"), ("-24h", "the last day"), ("-7d", "the last week"))
_DURATIONS = ((">1m", "over a minute"), (">10m", "over ten minutes"), (">1h", "over an hour"))
_FLAGS = (("false", "still needs somebody"), ("true", "is dealt with"))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text for the query, what it means, and the part of the query that it takes the place of."""

    text: str
    help: str
    start: int
    end: int


def suggest(query: str, at: int) -> list[Suggestion]:
    """What the word under the cursor may become.

    Args:
        query: the text so far.
        at: where the cursor stands, in characters from the start.
    """
    at = min(max(at, 0), len(query))
    start = max(query.rfind(space, 0, at) for space in " \t") + 1
    word = query[start:at]
    if word.startswith('"'):
        return []
    key, colon, rest = word.partition(":")
    if not colon:
        return [Suggestion(text, help, start, at) for text, help in _words(word)]
    # Of a list or a negation, only the value that is being written is replaced.
    begun = max(rest.rfind(mark) for mark in "[,!") + 1
    value_at = start + len(key) + 1 + begun
    return [Suggestion(text, help, value_at, at) for text, help in _values(key, rest[begun:])]


def _words(begun: str) -> list[tuple[str, str]]:
    keys = (
        (f"{name.removesuffix('NAME')}{'' if name.endswith('NAME') else ':'}", key.help)
        for name, key in ALL_KEYS.items()
    )
    found = [(text, help) for text, help in keys if text.startswith(begun.lower())]
    if begun:
        found += [
            (f"definition:{name}", "workflows of this definition") for name in _definitions(begun)
        ]
    return found[:MOST]


def _values(key: str, begun: str) -> list[tuple[str, str]]:
    known: Iterable[tuple[str, str]] = ()
    if key == "status":
        begun = begun.upper()
        known = ((value, "") for value in WorkflowStatus.values)
    elif key in ("definition", "name"):
        return [(name, "") for name in _definitions(begun)]
    elif key in ("created", "started", "finished"):
        known = _TIMES
    elif key == "duration":
        known = _DURATIONS
    elif key == "resolved":
        known = _FLAGS
    return [(text, help) for text, help in known if text.startswith(begun)][:MOST]


def _definitions(begun: str) -> list[str]:
    rows = Definition.objects.filter(name__istartswith=begun).order_by("name")
    return list(rows.values_list("name", flat=True)[:MOST])
