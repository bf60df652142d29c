"""Opaque, signed positions in a list: who holds one can neither read more with it nor change it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.core import signing

from workflows_app.problems import Invalid

SALT = "rayflow.api.cursor"
Direction = Literal["next", "prev"]


class BadCursor(Invalid):
    """The cursor was altered, belongs to another query, or is no cursor at all."""

    default_code = "bad_cursor"
    title = "The cursor cannot be used here"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows: the row next to it, as sort value and id, and which way to read."""

    direction: Direction
    value: datetime | int | str | None
    row_id: int | str

    def encode(self, query: str) -> str:
        moment = isinstance(self.value, datetime)
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        packed = [self.direction[0], "t" if moment else "v", value, self.row_id, query]
        return signing.Signer(salt=SALT).sign_object(packed, compress=False)


def decode(text: str, query: str) -> Cursor:
    """Read a cursor back; raises `BadCursor` unless this server signed it for this very query."""
    try:
        way, kind, value, row_id, bound = signing.Signer(salt=SALT).unsign_object(text)
    except Exception as error:  # a forged text fails in base64, zlib, JSON or the signature alike
        raise BadCursor("The cursor is damaged; start again without `cursor`.") from error
    if bound != query:
        raise BadCursor(
            "The cursor belongs to another query or sort; repeat the parameters it was made with, "
            "or start again without `cursor`."
        )
    moment = datetime.fromisoformat(value) if kind == "t" else value
    return Cursor("next" if way == "n" else "prev", moment, row_id)


def fingerprint(scope: str, parameters: Mapping[str, Any]) -> str:
    """A short digest of everything that decides which rows a list holds and in which order."""
    text = json.dumps([scope, sorted(parameters.items())], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
