"""Definitions: what the decorator accepts, what the schema says, what validation refuses."""

from __future__ import annotations

import datetime
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from rayflow.definitions import (
    Definition,
    DefinitionLoadError,
    definition,
    launch,
    load,
    load_all,
)
from rayflow.errors import InvalidParametersError, UnknownDefinitionError


class Point(BaseModel):
    """One point of a grid."""

    gamma: Annotated[float, Field(gt=0)]
    kernel: Literal["rbf", "linear"] = "rbf"


DEFAULT_GRID = [Point(gamma=0.5)]


@definition(name="train", tags={"team": "ml"})
def train_many(
    source: str,
    folds: Annotated[int, Field(ge=2, le=10, description="Parts to cut the data into.")] = 5,
    share: float = 0.25,
    grid: Annotated[list[Point], Field(min_length=1)] = DEFAULT_GRID,
    since: datetime.date | None = None,
    *,
    json: Any = None,
) -> dict[str, Any]:
    """Train many models
    and pick one.

    Details nobody needs in a list.
    """
    return {
        "source": source,
        "folds": folds,
        "share": share,
        "grid": grid,
        "since": since,
        "json": json,
    }


def test_the_decorator_takes_name_and_description_from_the_function() -> None:
    @definition
    def nightly() -> str:
        """Run at night."""
        return "dag"

    assert (nightly.name, nightly.description, dict(nightly.tags)) == (
        "nightly",
        "Run at night.",
        {},
    )
    assert train_many.name == "train"
    assert train_many.description == "Train many models and pick one."
    assert train_many.module == __name__
    assert train_many.tags == {"team": "ml"}


def test_a_definition_is_still_the_plain_function() -> None:
    assert train_many("s3", folds=3)["folds"] == 3
    assert list(inspect.signature(train_many).parameters)[:2] == ["source", "folds"]


def test_the_schema_keeps_defaults_bounds_choices_titles_and_help() -> None:
    schema = train_many.params_schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["title"], schema["required"]) == ("train", ["source"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["folds"] == {
        "title": "Folds",
        "type": "integer",
        "minimum": 2,
        "maximum": 10,
        "default": 5,
        "description": "Parts to cut the data into.",
    }
    assert schema["properties"]["grid"]["default"] == [{"gamma": 0.5, "kernel": "rbf"}]
    assert schema["$defs"]["Point"]["properties"]["kernel"]["enum"] == ["rbf", "linear"]
    assert list(schema["properties"]) == ["source", "folds", "share", "grid", "since", "json"]


def test_validate_fills_in_defaults_and_gives_plain_json() -> None:
    checked = train_many.validate({"source": "s3", "since": datetime.date(2024, 5, 1)})
    assert checked == {
        "source": "s3",
        "folds": 5,
        "share": 0.25,
        "grid": [{"gamma": 0.5, "kernel": "rbf"}],
        "since": "2024-05-01",
        "json": None,
    }
    assert train_many.validate(checked) == checked
    jsonschema.validate(checked, train_many.params_schema)


def test_build_calls_the_function_with_python_values() -> None:
    built = train_many.build({"source": "s3", "since": "2024-05-01", "grid": [{"gamma": 2}]})
    assert built["since"] == datetime.date(2024, 5, 1)
    assert built["grid"] == [Point(gamma=2.0)]


def test_a_function_refuses_parameters_that_do_not_go_together_with_a_value_error() -> None:
    @definition
    def between(low: int, high: int) -> int:
        if low > high:
            raise ValueError(f"{low} is above {high}.")
        return low + high

    with pytest.raises(InvalidParametersError, match="2 is above 1") as caught:
        between.build({"low": 2, "high": 1})
    assert caught.value.errors == [{"pointer": "", "detail": "2 is above 1."}]
    assert isinstance(caught.value.__cause__, ValueError)


def test_parameters_without_types_accept_any_json() -> None:
    @definition
    def loose(first, second=None):  # type: ignore[no-untyped-def]
        return (first, second)

    assert loose.build({"first": {"a": [1, None]}}) == ({"a": [1, None]}, None)
    assert "type" not in loose.params_schema["properties"]["first"]


def test_parameter_names_that_pydantic_keeps_for_itself_work() -> None:
    @definition
    def odd(json: int, copy: int, _hidden: int, model_config: int) -> tuple[int, ...]:
        return json, copy, _hidden, model_config

    assert odd.build({"json": 1, "copy": 2, "_hidden": 3, "model_config": 4}) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("params", "pointer", "detail"),
    [
        ({}, "/source", "required"),
        ({"source": "x", "folds": 1}, "/folds", "greater than or equal to 2"),
        ({"source": "x", "folds": "5"}, "/folds", "valid integer"),
        ({"source": "x", "folds": True}, "/folds", "valid integer"),
        ({"source": "x", "fold": 5}, "/fold", "Unknown parameter; the known ones are: source,"),
        ({"source": "x", "a/b~c": 5}, "/a~1b~0c", "Unknown parameter"),
        ({"source": "x", "grid": []}, "/grid", "at least 1 item"),
        ({"source": "x", "grid": [{"gamma": 1}, {"gamma": 0}]}, "/grid/1/gamma", "greater than 0"),
        ({"source": "x", "grid": [{}]}, "/grid/0/gamma", "required"),
        ({"source": "x", "share": float("nan")}, "/share", "finite number"),
        ({"source": "x", "since": "tomorrow"}, "/since", "date"),
        ({"source": object()}, "", "Not JSON"),
        ({"source": "\ud800"}, "", "Not JSON"),
        ([1, 2], "", "object"),
    ],
)
def test_wrong_parameters_are_reported_with_a_pointer(
    params: Any, pointer: str, detail: str
) -> None:
    with pytest.raises(InvalidParametersError) as caught:
        train_many.validate(params)
    assert [item["pointer"] for item in caught.value.errors] == [pointer]
    assert detail in caught.value.errors[0]["detail"]
    assert "'train'" in str(caught.value)


def test_all_wrong_parameters_are_reported_at_once() -> None:
    with pytest.raises(InvalidParametersError) as caught:
        train_many.validate({"folds": 99, "shares": 1})
    assert {item["pointer"] for item in caught.value.errors} == {"/source", "/folds", "/shares"}


def test_invalid_parameters_survive_travel_between_processes() -> None:
    with pytest.raises(InvalidParametersError) as caught:
        train_many.validate({})
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.errors) == (str(caught.value), caught.value.errors)


def _variadic(*names: str) -> None: ...


def _keywords(**options: str) -> None: ...


def _positional(name: str, /) -> None: ...


def _callback(then: Callable[[], None]) -> None: ...


def _unknown_type(when: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def _field_default(folds: int = Field(default=3)) -> None: ...


async def _coroutine() -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_variadic, "'*names"),
        (_keywords, "'**options"),
        (_positional, "positional-only"),
        (_callback, "no JSON form"),
        (_unknown_type, "'Missing'"),
        (_field_default, "Annotated"),
        (_coroutine, "plain function"),
        (Point, "plain function"),
        (42, "plain function"),
    ],
)
def test_a_function_no_form_can_fill_is_refused_at_decoration(function: Any, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        definition(name="bad")(function)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "x" * 101, "name\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a definition"):
        definition(name=name)(lambda: None)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ValueError, match="'<lambda>' is no name"):
        definition(lambda: None)


def test_a_default_that_does_not_fit_its_type_is_refused() -> None:
    def folds_of_one(folds: Annotated[int, Field(ge=2)] = 1) -> None: ...

    with pytest.raises(ValueError, match=r"default of 'folds'.*greater than or equal to 2"):
        definition(folds_of_one)


def test_tags_are_text() -> None:
    with pytest.raises(TypeError, match="is not text"):
        definition(name="tagged", tags={"priority": 1})(lambda: None)  # type: ignore[dict-item]


GOOD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from rayflow.definitions import definition

@dataclass
class Order:
    limit: ClassVar[int] = 3
    count: int = 1

@definition(name="{name}")
def build(count: int = 2):
    return Order(count=count)
"""


def _write(folder: Path, file: str, text: str) -> str:
    path = folder / file
    path.write_text(text)
    return str(path)


def test_load_reads_files_by_path(tmp_path: Path) -> None:
    source = _write(tmp_path, "shop.py", GOOD.format(name="shop"))
    loaded = load([source])
    assert list(loaded) == ["shop"]
    assert isinstance(loaded["shop"], Definition)
    assert loaded["shop"].build({"count": 7}).count == 7
    assert "shop" not in sys.modules


def test_a_file_named_like_a_module_does_not_replace_that_module(tmp_path: Path) -> None:
    import json

    load([_write(tmp_path, "json.py", GOOD.format(name="orders"))])
    assert sys.modules["json"] is json


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    source = _write(tmp_path, "shop.py", GOOD.format(name="before"))
    first = load([source])["before"]
    assert load([source])["before"] is first
    _write(tmp_path, "shop.py", GOOD.format(name="after"))
    assert list(load([source])) == ["after"]


def test_load_reads_modules_by_name_and_packages_that_gather_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gathered_flows"
    package.mkdir()
    _write(package, "inner.py", GOOD.format(name="inner"))
    _write(package, "__init__.py", "from gathered_flows.inner import build\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(load(["gathered_flows"])) == ["inner"]
    assert list(load(["gathered_flows.inner", "gathered_flows"])) == ["inner"]


def test_one_bad_source_does_not_hide_the_others(tmp_path: Path) -> None:
    good = _write(tmp_path, "good.py", GOOD.format(name="good"))
    sources = [
        _write(tmp_path, "broken.py", "1 / 0"),
        str(tmp_path / "absent.py"),
        "no.such.module",
        _write(tmp_path, "script.py", "raise SystemExit(3)"),
        _write(tmp_path, "empty.py", "from rayflow.definitions import definition"),
        good,
    ]
    loaded, problems = load_all(sources)
    assert list(loaded) == ["good"]
    assert len(problems) == 5
    for problem, source in zip(problems, sources, strict=False):
        assert repr(source) in str(problem)
    assert "ZeroDivisionError: division by zero" in str(problems[0])
    assert isinstance(problems[0].__cause__, ZeroDivisionError)
    with pytest.raises(DefinitionLoadError, match=r"broken\.py.*ZeroDivisionError"):
        load(sources)


def test_two_definitions_of_one_name_are_refused_and_the_first_stays(tmp_path: Path) -> None:
    sources = [
        _write(tmp_path, "first.py", GOOD.format(name="same")),
        _write(tmp_path, "second.py", GOOD.format(name="same")),
    ]
    loaded, problems = load_all(sources)
    assert loaded["same"].module == "first"
    assert "'same' is already used in first" in str(problems[0])
    with pytest.raises(ValueError, match="already used"):
        load(sources)


def test_the_environment_names_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [_write(tmp_path, f"{n}.py", GOOD.format(name=n)) for n in ("one", "two")]
    monkeypatch.setenv("RAYFLOW_FLOWS", f" {sources[0]} , {sources[1]},")
    assert sorted(load()) == ["one", "two"]


def test_launching_an_unknown_definition_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = _write(tmp_path, "good.py", GOOD.format(name="good"))
    broken = _write(tmp_path, "broken.py", "1 / 0")
    monkeypatch.setenv("RAYFLOW_FLOWS", f"{good},{broken}")
    with pytest.raises(UnknownDefinitionError) as caught:
        launch("god")
    assert (caught.value.name, caught.value.known) == ("god", ("good",))
    assert "ZeroDivisionError" in str(caught.value.__cause__)


def test_launching_with_wrong_parameters_needs_no_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYFLOW_FLOWS", _write(tmp_path, "good.py", GOOD.format(name="good")))
    with pytest.raises(InvalidParametersError, match="/count"):
        launch("good", {"count": "many"})


def test_the_module_imports_neither_ray_nor_pyarrow() -> None:
    code = (
        "import sys, rayflow.definitions; "
        "print([name for name in ('ray', 'pyarrow', 'django') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
