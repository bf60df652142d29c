"""The parameters of a definition: from a signature to a JSON Schema and checked values.

Pure: no Ray, no I/O. ``rayflow.definitions`` is the only user.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import pydantic
import pydantic_core
from pydantic.fields import FieldInfo

from rayflow.errors import InvalidParametersError

__all__ = ["Parameters"]

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Parameters:
    """The typed parameters of one function.

    Raises:
        TypeError: the signature has a parameter that cannot be filled by name, or a type that
            has no JSON form.
        ValueError: a default does not fit its own type.
    """

    def __init__(self, function: Callable[..., Any], name: str, description: str) -> None:
        self._name = name
        self._model = _model_of(function, name)
        _check_defaults(self._model, name)
        schema = {"$schema": SCHEMA_DIALECT, **self._model.model_json_schema(by_alias=True)}
        schema["title"] = name
        schema["description"] = description
        self.schema: dict[str, Any] = schema

    def as_json(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return plain JSON values with the defaults filled in."""
        dumped: dict[str, Any] = self._parse(params).model_dump(mode="json", by_alias=True)
        return dumped

    def as_arguments(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return Python values, ready to be passed to the function by name."""
        parsed = self._parse(params)
        fields = type(parsed).model_fields
        return {str(info.alias): getattr(parsed, key) for key, info in fields.items()}

    def _parse(self, params: Mapping[str, Any] | None) -> pydantic.BaseModel:
        # Through JSON, because that is what a journal keeps and what a form sends; strict, so
        # that what the published schema refuses is refused here too ("5" is not a number).
        try:
            data = pydantic_core.to_json({} if params is None else params)
        except (pydantic_core.PydanticSerializationError, ValueError) as error:
            raise self._invalid([_problem("", f"Not JSON: {error}.")]) from error
        try:
            return self._model.model_validate_json(data, strict=True)
        except pydantic.ValidationError as error:
            decoded = pydantic_core.from_json(data)
            known = [str(info.alias) for info in self._model.model_fields.values()]
            problems = [_describe(item, decoded, known) for item in error.errors()]
            raise self._invalid(problems) from error

    def _invalid(self, problems: list[dict[str, str]]) -> InvalidParametersError:
        return InvalidParametersError(self._name, problems)


def _model_of(function: Callable[..., Any], name: str) -> type[pydantic.BaseModel]:
    hints = _type_hints(function, name)
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        _check_parameter(parameter, name)
        hint = hints.get(parameter.name, Any)
        required = parameter.default is inspect.Parameter.empty
        # A neutral field name with the real one as alias: "json" or "_x" are legal parameters
        # but not legal attributes of a pydantic model.
        fields[f"param_{number}"] = (
            Annotated[hint, pydantic.Field(alias=parameter.name)],
            ... if required else parameter.default,
        )
    config = pydantic.ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)
    try:
        model: type[pydantic.BaseModel] = pydantic.create_model(name, __config__=config, **fields)
        model.model_json_schema(by_alias=True)
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(
            f"A parameter type of the definition {name!r} has no JSON form: {error.message}"
        ) from error
    return model


def _type_hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"A type in the signature of the definition {name!r} cannot be found: {error}. "
            f"Import or define it above the definition, outside 'if TYPE_CHECKING'."
        ) from error


def _check_parameter(parameter: inspect.Parameter, name: str) -> None:
    kind = parameter.kind
    if kind in (kind.VAR_POSITIONAL, kind.VAR_KEYWORD, kind.POSITIONAL_ONLY):
        raise TypeError(
            f"The definition {name!r} has the {kind.description} parameter '{parameter}', which "
            f"cannot be filled by name. Give every parameter a name of its own."
        )
    if isinstance(parameter.default, FieldInfo):
        raise TypeError(
            f"The definition {name!r} uses Field(...) as the default of {parameter.name!r}. Write "
            f"'{parameter.name}: Annotated[type, Field(...)] = default' instead."
        )


def _check_defaults(model: type[pydantic.BaseModel], name: str) -> None:
    try:
        model.model_validate({})
    except pydantic.ValidationError as error:
        wrong = [item for item in error.errors() if item["type"] != "missing"]
        if wrong:
            path = wrong[0]["loc"]
            where = ".".join([str(model.model_fields[str(path[0])].alias), *map(str, path[1:])])
            raise ValueError(
                f"The default of {where!r} in the definition {name!r} does not fit its own type: "
                f"{wrong[0]['msg']}."
            ) from error


def _problem(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail}


def _describe(item: Any, data: Any, known: list[str]) -> dict[str, str]:
    """Turn one pydantic error into a JSON pointer and a sentence."""
    pointer, value = "", data
    for part in item["loc"]:
        # pydantic also puts names of union members in the path; only real steps count.
        inside_dict = isinstance(value, dict) and part in value
        inside_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if inside_dict or inside_list:
            value = value[part]
        elif item["type"] != "missing" or part != item["loc"][-1]:
            continue
        pointer += "/" + str(part).replace("~", "~0").replace("/", "~1")
    if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
        return _problem(pointer, f"Unknown parameter; the known ones are: {', '.join(known)}.")
    return _problem(pointer, f"{item['msg']}.")
