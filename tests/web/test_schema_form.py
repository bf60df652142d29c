"""The launch form: fields from a JSON Schema, values into controls and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.factories import DIGITS_SCHEMA
from workflows_app.pages.schema_fields import Field, fields_of
from workflows_app.pages.schema_values import (
    Row,
    defaults,
    parse,
    rows,
    with_general_errors,
)

FIELDS = fields_of(DIGITS_SCHEMA)


def only(schema: dict[str, Any], *, required: bool = False) -> Field:
    """The one field of an object with a single property ``x``."""
    whole = {"properties": {"x": schema}, "required": ["x"] if required else []}
    (found,) = fields_of(whole)
    return found


def flat(items: tuple[Row, ...]) -> list[Row]:
    return [row for item in items for row in ([item, *flat(item.rows)])]


def submitted(params: dict[str, Any], fields: tuple[Field, ...] = FIELDS) -> dict[str, str]:
    """What a browser sends for a form that shows `params`."""
    post: dict[str, str] = {}
    for row in flat(rows(fields, params)):
        if row.field.kind == "group":
            continue
        if row.field.kind != "boolean":
            post[row.field.name] = row.text
        elif row.checked:
            post[row.field.name] = "true"
    return post


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "textarea"}, "text"),
        ({"type": "integer"}, "integer"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"enum": ["a", 1]}, "enum"),
        ({"const": "a"}, "enum"),
        ({"type": "array", "items": {"type": "integer"}}, "list"),
        ({"type": "array", "items": {"type": "object"}}, "json"),
        ({"type": "array"}, "json"),
        ({"type": "object"}, "json"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, "group"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "json"),
        ({"type": ["integer", "null"]}, "integer"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "enum"),
        ({}, "json"),
    ],
)
def test_each_kind_of_schema_has_a_control(schema: dict[str, Any], kind: str) -> None:
    assert only(schema).kind == kind


def test_a_reference_in_a_circle_is_edited_as_json() -> None:
    schema = {
        "properties": {"tree": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": {"$ref": "#/$defs/Node"}},
    }
    assert fields_of(schema)[0].kind == "json"


def test_an_object_nested_too_deep_is_edited_as_json() -> None:
    node: dict[str, Any] = {"type": "object"}
    node["properties"] = {"child": {"$ref": "#/$defs/Node"}}
    field = fields_of({"properties": {"a": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}})[0]
    kinds = []
    while True:
        kinds.append(field.kind)
        if not field.children:
            break
        field = field.children[0]
    assert kinds == ["group", "group", "group", "json"]


def test_the_defaults_of_a_definition_are_what_its_form_sends_back() -> None:
    parsed = parse(FIELDS, submitted(defaults(FIELDS)))
    assert parsed.errors == []
    assert parsed.params == {
        "folds": 5,
        "test_share": 0.2,
        "kernel": "rbf",
        "seeds": [1, 2, 3],
        "grid": [{"C": 1.0, "gamma": 0.01}, {"C": 10.0, "gamma": 0.001}],
        "keep_model": True,
        "label": None,
        "storage": {"folder": "models", "compress": False},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
LINES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
PARAMS = st.fixed_dictionaries(
    {
        "folds": st.integers(),
        "test_share": st.floats(allow_nan=False, allow_infinity=False),
        "kernel": st.sampled_from(["rbf", "linear", "poly"]),
        "seeds": st.lists(st.integers(), max_size=5),
        "grid": st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=3),
        "keep_model": st.booleans(),
        "label": st.none() | LINES,
        "storage": st.fixed_dictionaries({"folder": LINES, "compress": st.booleans()}),
    }
)


@given(PARAMS)
def test_parameters_of_an_earlier_run_survive_the_form_unchanged(params: dict[str, Any]) -> None:
    parsed = parse(FIELDS, submitted(params))
    assert parsed.errors == []
    assert parsed.params == params


@pytest.mark.parametrize(
    ("schema", "text", "words"),
    [
        ({"type": "integer"}, "3.5", "not a whole number"),
        ({"type": "integer"}, "many", "not a whole number"),
        ({"type": "number"}, "nan", "can be stored"),
        ({"type": "number"}, "1,5", "not a number"),
        ({"type": "array", "items": {"type": "integer"}}, "1\ntwo", "two"),
        ({"type": "array", "items": {"type": "boolean"}}, "perhaps", "neither true nor false"),
        ({"type": "object"}, '{"a": }', "line 1, column 7"),
    ],
)
def test_a_text_that_cannot_be_read_is_reported_at_its_parameter(
    schema: dict[str, Any], text: str, words: str
) -> None:
    field = only(schema)
    parsed = parse([field], {field.name: text})
    assert parsed.params == {}
    assert [error["pointer"] for error in parsed.errors] == ["/x"]
    assert words in parsed.errors[0]["detail"]


def test_what_was_typed_stays_in_the_control_beside_the_mistake() -> None:
    field = only({"type": "integer"})
    post = {field.name: "many"}
    parsed = parse([field], post)
    (row,) = rows([field], parsed.params, errors=parsed.errors, raw=post)
    assert row.text == "many"
    assert len(row.errors) == 1


@pytest.mark.parametrize(
    ("schema", "required", "value"),
    [
        ({"type": "string"}, True, {"x": ""}),
        ({"type": "string", "default": ""}, False, {"x": ""}),
        ({"type": "string"}, False, {}),
        ({"type": "integer"}, False, {}),
        ({"type": ["integer", "null"]}, False, {"x": None}),
        ({"type": "array", "items": {"type": "string"}, "default": ["a"]}, False, {"x": []}),
    ],
)
def test_an_empty_control_means_what_the_schema_allows(
    schema: dict[str, Any], required: bool, value: dict[str, Any]
) -> None:
    field = only(schema, required=required)
    parsed = parse([field], {field.name: ""})
    assert (parsed.params, parsed.errors) == (value, [])


def test_a_needed_number_left_empty_is_a_mistake() -> None:
    field = only({"type": "integer"}, required=True)
    assert parse([field], {}).errors == [{"pointer": "/x", "detail": "This parameter is needed."}]


def test_a_mistake_inside_a_json_value_is_shown_at_its_control() -> None:
    errors = [{"pointer": "/grid/1/C", "detail": "too small"}]
    shown = {row.field.pointer: row.errors for row in rows(FIELDS, {}, errors=errors)}
    assert shown["/grid"] == ("too small",)
    assert list(with_general_errors(errors, FIELDS)) == []


def test_a_mistake_without_a_control_is_shown_above_the_form() -> None:
    errors = [{"pointer": "/nothing", "detail": "unexpected"}]
    assert list(with_general_errors(errors, FIELDS)) == ["/nothing: unexpected"]


def test_an_odd_parameter_name_gives_a_legal_html_id() -> None:
    (field,) = fields_of({"properties": {'a/b ~"<ü': {"type": "string"}}})
    assert field.pointer == '/a~1b ~0"<ü'
    assert not set(field.html_id) & set(' "<>/~')
    assert parse([field], {field.name: "v"}).params == {'a/b ~"<ü': "v"}
