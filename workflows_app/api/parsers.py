"""Reading a JSON body that may be too large, too deep, or hold what no database stores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import BaseParser

from workflows_app.api.pointers import join
from workflows_app.problems import Problem

MAX_DEPTH = 64


class PayloadTooLarge(Problem):
    """The body has more bytes than the API takes."""

    default_code = "payload_too_large"
    status = 413
    title = "Body too large"


class JSONParser(BaseParser):
    """Bounded, strict JSON: no NaN, no infinity, at most `MAX_DEPTH` levels, storable strings."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit: int = settings.API_MAX_BODY_BYTES
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise PayloadTooLarge(f"The body exceeds {limit} bytes; send less in one request.")
        value = decode(body)
        check(value)
        return value


def decode(body: bytes) -> Any:
    """Parse bytes as JSON or raise a `ParseError` that says where it broke."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: byte {error.start} cannot be read.") from error
    except RecursionError as error:
        raise ParseError(f"The body nests deeper than {MAX_DEPTH} levels.") from error
    except ValueError as error:
        raise ParseError(f"The body is not JSON: {error}.") from error


def check(root: Any) -> None:
    """Refuse what JSON can spell and the registry cannot keep, naming it by its pointer."""
    pending: list[tuple[Any, str, int]] = [(root, "", 0)]
    while pending:
        value, pointer, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ParseError(f"The body nests deeper than {MAX_DEPTH} levels.")
        if isinstance(value, dict):
            for key, item in value.items():
                _check_text(key, pointer)
                pending.append((item, join(pointer, key), depth + 1))
        elif isinstance(value, list):
            pending.extend((item, join(pointer, n), depth + 1) for n, item in enumerate(value))
        elif isinstance(value, str):
            _check_text(value, pointer)
        elif isinstance(value, float) and not math.isfinite(value):
            _refuse(pointer, "This number is too large.")


def _check_text(text: str, pointer: str) -> None:
    if "\x00" in text:
        _refuse(pointer, "Text may not hold the NUL character.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(pointer, "Text may not hold half of a surrogate pair.")


def _refuse(pointer: str, detail: str) -> NoReturn:
    nested: Any = [detail]
    for token in reversed(pointer.split("/")[1:]):
        nested = {token.replace("~1", "/").replace("~0", "~"): nested}
    raise ValidationError(nested)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
