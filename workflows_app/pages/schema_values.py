"""Values of a schema form: from parameters to what the controls show, and back from a POST."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workflows_app.pages.schema_fields import Field

TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class Row:
    """One control ready to draw: its field, the text (or tick) in it, what is wrong with it."""

    field: Field
    text: str = ""
    checked: bool = False
    errors: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(slots=True)
class Parsed:
    """Parameters read from a form, and mistakes by JSON pointer."""

    params: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)


def defaults(fields: Iterable[Field]) -> dict[str, Any]:
    """The values a fresh form starts with."""
    values: dict[str, Any] = {}
    for item in fields:
        name = _last(item.pointer)
        if item.kind == "group" and not item.has_default:
            values[name] = defaults(item.children)
        elif item.has_default:
            values[name] = item.default
    return values


def rows(
    fields: Iterable[Field],
    values: Mapping[str, Any],
    *,
    errors: Iterable[Mapping[str, Any]] = (),
    raw: Mapping[str, str] | None = None,
) -> tuple[Row, ...]:
    """The controls with their contents. `raw` is what was typed, kept when it did not parse."""
    found: dict[str, list[str]] = {}
    for error in errors:
        found.setdefault(str(error.get("pointer", "")), []).append(str(error.get("detail", "")))
    return tuple(_row(item, values, found, raw) for item in fields)


def _row(
    item: Field,
    values: Mapping[str, Any],
    found: dict[str, list[str]],
    raw: Mapping[str, str] | None,
) -> Row:
    value = values.get(_last(item.pointer))
    if item.kind == "group":
        inner = value if isinstance(value, Mapping) else {}
        children = tuple(_row(child, inner, found, raw) for child in item.children)
        return Row(item, errors=tuple(found.get(item.pointer, ())), rows=children)
    below = tuple(
        text
        for pointer, texts in found.items()
        if pointer == item.pointer or pointer.startswith(item.pointer + "/")
        for text in texts
    )
    if raw is not None and item.kind != "boolean":
        return Row(item, text=raw.get(item.name, ""), errors=below)
    return Row(item, text=show(item, value), checked=value is True, errors=below)


def show(item: Field, value: Any) -> str:
    """The text of a control for `value`."""
    if item.kind == "enum":
        missing = value is None and not any(choice.key == "null" for choice in item.choices)
        return "" if missing else json.dumps(value)
    if value is None:
        return ""
    if item.kind == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    if item.kind == "list" and isinstance(value, list):
        return "\n".join(
            str(entry).lower() if entry is True or entry is False else str(entry) for entry in value
        )
    return str(value)


def parse(fields: Iterable[Field], post: Mapping[str, str]) -> Parsed:
    """Read the parameters out of a submitted form; never raises, mistakes are collected."""
    parsed = Parsed()
    for item in fields:
        _parse_into(item, post, parsed.params, parsed.errors)
    return parsed


def _parse_into(
    item: Field, post: Mapping[str, str], target: dict[str, Any], errors: list[dict[str, str]]
) -> None:
    name = _last(item.pointer)
    if item.kind == "group":
        inner: dict[str, Any] = {}
        for child in item.children:
            _parse_into(child, post, inner, errors)
        if inner or item.required:
            target[name] = inner
        return
    if item.kind == "boolean":
        target[name] = post.get(item.name) is not None
        return
    text = post.get(item.name, "").replace("\r\n", "\n")
    if not text.strip() and not (text and item.kind in {"string", "text"}):
        _parse_empty(item, target, name, errors)
        return
    try:
        target[name] = _value(item, text)
    except ValueError as mistake:
        errors.append({"pointer": item.pointer, "detail": str(mistake)})


def _parse_empty(
    item: Field, target: dict[str, Any], name: str, errors: list[dict[str, str]]
) -> None:
    if item.nullable:
        target[name] = None
    elif item.is_empty_allowed:
        target[name] = ""
    elif item.kind == "list" and item.has_default:
        target[name] = []
    elif item.required:
        errors.append({"pointer": item.pointer, "detail": "This parameter is needed."})


def _value(item: Field, text: str) -> Any:
    if item.kind in {"string", "text"}:
        return text
    if item.kind == "list":
        lines = (line.strip() for line in text.split("\n"))
        return [_scalar(item.item_type, line) for line in lines if line]
    if item.kind in {"integer", "number"}:
        return _scalar(item.kind, text.strip())
    try:
        return json.loads(text)
    except json.JSONDecodeError as mistake:
        where = f"line {mistake.lineno}, column {mistake.colno}"
        raise ValueError(f"Not valid JSON: {mistake.msg} at {where}.") from mistake


def _scalar(kind: str, text: str) -> Any:
    if kind == "string":
        return text
    if kind == "boolean":
        if text.lower() not in TRUTHS:
            raise ValueError(f"“{text}” is neither true nor false.")
        return TRUTHS[text.lower()]
    words = "a whole number" if kind == "integer" else "a number"
    try:
        number = int(text) if kind == "integer" else float(text)
    except ValueError as mistake:
        raise ValueError(f"“{text}” is not {words}.") from mistake
    if not math.isfinite(number):
        raise ValueError(f"“{text}” is not {words} that can be stored.")
    return number


def with_general_errors(
    errors: Iterable[Mapping[str, Any]], fields: Iterable[Field]
) -> Iterator[str]:
    """Mistakes that belong to no control, for the summary above the form."""
    known = {item.pointer for item in _flat(fields)}
    for error in errors:
        pointer = str(error.get("pointer", ""))
        if not any(pointer == own or pointer.startswith(own + "/") for own in known):
            yield (
                f"{pointer}: {error.get('detail', '')}" if pointer else str(error.get("detail", ""))
            )


def _flat(fields: Iterable[Field]) -> Iterator[Field]:
    for item in fields:
        yield replace(item, children=()) if item.kind == "group" else item
        yield from _flat(item.children)


def _last(pointer: str) -> str:
    return pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
