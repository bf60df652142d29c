"""A form described by a JSON Schema: the tree of fields a template can draw.

Handles the subset that typed Python signatures produce (pydantic, JSON Schema 2020-12). Whatever
it does not know becomes a JSON editor, so no parameter is ever impossible to fill.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]
SCALARS = {"string", "integer", "number", "boolean"}
LONG_TEXT = {"textarea", "multiline"}
# Deeper than this an object is edited as JSON: a form of forms helps nobody.
DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an enumeration; `key` is its JSON, so that ``1`` and ``"1"`` stay apart."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter, or a group of them when `kind` is ``group``."""

    pointer: str
    kind: str
    label: str
    help: str = ""
    required: bool = False
    nullable: bool = False
    default: Any = None
    has_default: bool = False
    choices: tuple[Choice, ...] = ()
    children: tuple[Field, ...] = ()
    item_type: str = ""
    limits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the form control."""
        return f"p{self.pointer}"

    @property
    def html_id(self) -> str:
        """An id that is legal whatever the parameter is called."""
        return "f-" + "".join(c if c.isalnum() else f"-{ord(c):x}-" for c in self.pointer[1:])

    @property
    def is_empty_allowed(self) -> bool:
        """Whether an empty text is a value of its own rather than "not given"."""
        return self.kind in {"string", "text"} and (self.required or self.default == "")


def fields_of(schema: Schema) -> tuple[Field, ...]:
    """The fields of an object schema's properties, in their order."""
    return _children(schema, root=schema, pointer="", depth=0)


def _children(schema: Schema, *, root: Schema, pointer: str, depth: int) -> tuple[Field, ...]:
    required = set(schema.get("required", ()))
    return tuple(
        _field(
            child,
            root=root,
            pointer=f"{pointer}/{_escape(name)}",
            name=name,
            required=name in required,
            depth=depth,
        )
        for name, child in schema.get("properties", {}).items()
    )


def _field(
    given: Schema, *, root: Schema, pointer: str, name: str, required: bool, depth: int
) -> Field:
    schema, nullable = resolve(given, root)
    kind = _kind(schema, root, depth)
    if kind == "boolean" and nullable:
        # A tick box has two states; true, false and "not given" need a list.
        schema, kind = {**schema, "enum": [True, False]}, "enum"
    children = (
        _children(schema, root=root, pointer=pointer, depth=depth + 1) if kind == "group" else ()
    )
    item_type = ""
    if kind == "list":
        item_type = str(resolve(schema.get("items", {}), root)[0].get("type", "string"))
    return Field(
        pointer=pointer,
        kind=kind,
        label=str(schema.get("title") or name.replace("_", " ").capitalize()),
        help=_help(schema),
        required=required and not nullable,
        nullable=nullable,
        default=schema.get("default"),
        has_default="default" in schema,
        choices=_choices(schema),
        children=children,
        item_type=item_type,
        limits=_limits(schema),
    )


def resolve(given: Schema, root: Schema) -> tuple[dict[str, Any], bool]:
    """The schema behind references and ``null`` alternatives, and whether null is allowed."""
    schema = _dereference(given, root)
    nullable = False
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        rest = [option for option in options if option.get("type") != "null"]
        nullable = len(rest) < len(options)
        if len(rest) == 1:
            outer = {k: v for k, v in schema.items() if k not in {"anyOf", "oneOf"}}
            schema = {**_dereference(rest[0], root), **outer}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        rest_kinds = [kind for kind in kinds if kind != "null"]
        nullable = nullable or len(rest_kinds) < len(kinds)
        schema = {**schema, "type": rest_kinds[0] if len(rest_kinds) == 1 else None}
    return schema, nullable


def _dereference(given: Schema, root: Schema) -> dict[str, Any]:
    schema = dict(given)
    for _ in range(16):  # a reference that leads in a circle ends as "edit it as JSON"
        if len(schema.get("allOf", ())) == 1:
            schema = {**schema.pop("allOf")[0], **schema}
        reference = schema.pop("$ref", None)
        if not reference:
            return schema
        target: Any = root
        for part in str(reference).removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        schema = {**target, **schema}
    return {}


def _kind(schema: Schema, root: Schema, depth: int) -> str:
    if "enum" in schema or "const" in schema:
        return "enum"
    declared = schema.get("type")
    if declared == "string" and schema.get("format") in LONG_TEXT:
        return "text"
    if declared in SCALARS:
        return str(declared)
    if declared == "array":
        items, null_items = resolve(schema.get("items", {}), root)
        plain = items.get("type") in SCALARS and "enum" not in items and not null_items
        return "list" if plain else "json"
    has_fields = schema.get("properties") and not schema.get("additionalProperties")
    return "group" if declared == "object" and has_fields and depth < DEEPEST else "json"


def _choices(schema: Schema) -> tuple[Choice, ...]:
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return tuple(
        Choice(key=json.dumps(value), label=value if isinstance(value, str) else json.dumps(value))
        for value in values
    )


def _limits(schema: Schema) -> dict[str, Any]:
    """HTML attributes that let the browser check early; the server checks in any case."""
    integer = schema.get("type") == "integer"
    step = 1 if integer else 0
    limits: dict[str, Any] = {"step": schema.get("multipleOf", 1 if integer else "any")}
    if "minimum" in schema or "exclusiveMinimum" in schema:
        limits["min"] = schema.get("minimum", schema.get("exclusiveMinimum", 0) + step)
    if "maximum" in schema or "exclusiveMaximum" in schema:
        limits["max"] = schema.get("maximum", schema.get("exclusiveMaximum", 0) - step)
    if "minLength" in schema:
        limits["minlength"] = schema["minLength"]
    if "maxLength" in schema:
        limits["maxlength"] = schema["maxLength"]
    return limits


def _help(schema: Schema) -> str:
    """The parameter's description, then its limits in words."""
    words = [str(schema["description"]).strip()] if schema.get("description") else []
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    more = "more than" if "exclusiveMinimum" in schema else "at least"
    less = "less than" if "exclusiveMaximum" in schema else "at most"
    if low is not None and high is not None and (more, less) == ("at least", "at most"):
        words.append(f"From {low} to {high}.")
    else:
        limits = [f"{more} {low}"] if low is not None else []
        limits += [f"{less} {high}"] if high is not None else []
        words += [f"{', '.join(limits).capitalize()}."] if limits else []
    if schema.get("type") == "array" and (least := schema.get("minItems")):
        words.append(f"At least {least} {'entry' if least == 1 else 'entries'}.")
    return " ".join(words)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
