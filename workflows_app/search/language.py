"""The text of a query, read into terms: ``status:[FAILED,RESUMABLE] created:-24h tag.team:ml etl-2026``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from workflows_app.problems import Invalid

MOST_CHARS = 1_000
MOST_TERMS = 20
MOST_VALUES = 100

GRAMMAR = r"""
    start: (field | text)*
    field: KEY ":" OP? (choice | scalar)
    text: QUOTED | WORD
    choice: "[" scalar ("," scalar)* "]"
    scalar: QUOTED | VALUE
    KEY.3: /[^\s:"\[\],]+(?=:)/
    OP.3: "!" | ">=" | "<=" | ">" | "<" | "~"
    QUOTED.2: /"(\\.|[^"\\])*"/
    WORD: /[^\s:"\[\],]+/
    VALUE: /[^\s"\[\],]+/
    %ignore /\s+/
"""
_EXPECTED = {
    "RSQB": "a ] that ends the list",
    "COLON": "a colon",
    "VALUE": "a value",
    "QUOTED": "a text in quotes",
}


class BadQuery(Invalid):
    """A query that cannot be read or answered.

    Args:
        detail: what is wrong.
        at: the character of the query at which it is, counted from 0.
    """

    default_code = "bad_query"
    title = "The query cannot be read"

    def __init__(self, detail: str, at: int) -> None:
        self.at = at
        where = f"{detail} (character {at + 1} of the query)"
        error = {
            "location": "query",
            "parameter": "q",
            "pointer": "",
            "position": at,
            "detail": detail,
        }
        super().__init__(where, errors=[error])


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it is written, and where; a text in quotes has no wildcards and no special words."""

    text: str
    at: int
    is_quoted: bool = False

    @property
    def prefix(self) -> str | None:
        """What comes before a star at the end."""
        return self.text[:-1] if self.text.endswith("*") and not self.is_quoted else None

    @property
    def is_none(self) -> bool:
        return self.text == "none" and not self.is_quoted


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. All terms of a query must hold; of the values in a list, any."""

    key: str  # empty for free text
    op: str
    values: tuple[Value, ...]
    at: int


def read(text: str) -> list[Term]:
    """The terms of a query.

    Raises:
        BadQuery: it cannot be read; the error points at the character.
    """
    if len(text) > MOST_CHARS:
        raise BadQuery(f"A query has at most {MOST_CHARS:,} characters.", MOST_CHARS)
    try:
        terms: list[Term] = _Terms().transform(_parser().parse(text))
    except UnexpectedInput as error:
        raise _explained(error, text) from None
    if len(terms) > MOST_TERMS:
        raise BadQuery(f"A query has at most {MOST_TERMS} terms.", terms[MOST_TERMS].at)
    for term in terms:
        if len(term.values) > MOST_VALUES:
            raise BadQuery(f"A list has at most {MOST_VALUES} values.", term.values[MOST_VALUES].at)
    return terms


class _Terms(Transformer[Token, Any]):
    """The tree that the parser makes, as terms."""

    def scalar(self, found: list[Token]) -> Value:
        token = found[0]
        at = token.start_pos or 0
        if token.type == "QUOTED":
            return Value(_unquoted(token), at, is_quoted=True)
        return Value(str(token), at)

    def choice(self, found: list[Value]) -> tuple[Value, ...]:
        return tuple(found)

    def text(self, found: list[Token]) -> Term:
        value = self.scalar(found)
        return Term("", "", (value,), value.at)

    def field(self, found: list[Any]) -> Term:
        key, *op, value = found
        values = value if isinstance(value, tuple) else (value,)
        return Term(str(key), str(op[0]) if op else "", values, key.start_pos or 0)

    def start(self, found: list[Term]) -> list[Term]:
        return found


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=False)


def _unquoted(token: str) -> str:
    """The text between the quotes; a backslash takes the next character as it is."""
    inner, found = iter(token[1:-1]), []
    for char in inner:
        found.append(next(inner, "") if char == "\\" else char)
    return "".join(found)


def _explained(error: UnexpectedInput, text: str) -> BadQuery:
    at: int = getattr(error, "pos_in_stream", None) or 0
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        at, expected = len(text), error.accepts or error.expected
        missing = next((_EXPECTED[name] for name in _EXPECTED if name in expected), "more")
        return BadQuery(f"The query ends too early: {missing} is missing.", at)
    if isinstance(error, UnexpectedCharacters) and text[at : at + 1] == '"':
        return BadQuery("A quotation mark is never closed.", at)
    shown = text[at : at + 1]
    return BadQuery(f"{shown!r} is not expected here; put texts with it in double quotes.", at)
