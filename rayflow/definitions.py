"""Definitions: named, parameterised functions that build a workflow's DAG.

A definition is what the console, the REST API and the command line can launch. Its parameters
are the function's own, typed ones; a JSON Schema is derived from them, so that a form can be
drawn and bad values are refused before anything runs.

This module never imports Ray. The modules that hold definitions do, when they are loaded.
"""

from __future__ import annotations

import inspect
import os
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from rayflow.errors import InvalidParametersError, UnknownDefinitionError, WorkflowExistsError
from rayflow.parameters import Parameters
from rayflow.sources import DefinitionLoadError, import_source

__all__ = [
    "Definition",
    "DefinitionLoadError",
    "configured_sources",
    "definition",
    "launch",
    "load",
    "load_all",
]

P = ParamSpec("P")
R = TypeVar("R")

#: What a definition may be called: the name is part of addresses and file names.
NAME_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,100}")

#: The sources used when RAYFLOW_FLOWS is not set.
EXAMPLES = ("examples.digits_training", "examples.code_census", "examples.trip_booking")


@dataclass(frozen=True, eq=False)
class Definition(Generic[P, R]):
    """A launchable function. Calling it calls the plain function.

    Attributes:
        function: the decorated function; it builds a DAG with ``.bind()`` and returns it.
        name: how it is addressed; unique among everything that is loaded together.
        description: one paragraph for people.
        module: where the function was defined.
        tags: labels that every workflow launched from it carries.
    """

    function: Callable[P, R]
    name: str
    description: str
    module: str
    tags: Mapping[str, str]
    _parameters: Parameters = field(repr=False)

    @property
    def params_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of the parameters."""
        return self._parameters.schema

    @property
    def __wrapped__(self) -> Callable[P, R]:
        """The function, for ``inspect.signature`` and documentation tools."""
        return self.function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def validate(self, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return ``params`` as plain JSON values, with the defaults filled in.

        Raises:
            InvalidParametersError: a value does not fit, is missing, or is unknown; its
                ``errors`` list each of them with a JSON pointer.
        """
        return self._parameters.as_json(params)

    def build(self, params: Mapping[str, Any] | None = None) -> R:
        """Build the DAG for ``params``.

        Raises:
            InvalidParametersError: as ``validate`` does, and when the function itself refuses
                them with a ``ValueError``.
        """
        arguments = self._parameters.as_arguments(params)
        try:
            return typing.cast("Callable[..., R]", self.function)(**arguments)
        except ValueError as error:
            problem = {"pointer": "", "detail": str(error)}
            raise InvalidParametersError(self.name, [problem]) from error


@overload
def definition(function: Callable[P, R], /) -> Definition[P, R]: ...


@overload
def definition(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Definition[P, R]]: ...


def definition(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Definition[P, R] | Callable[[Callable[P, R]], Definition[P, R]]:
    """Make a function that builds a DAG launchable. Used bare or with arguments.

    Put types on the parameters: ``Annotated[int, Field(ge=2, description="...")]`` (``Field``
    from pydantic) gives bounds and help texts, ``Literal`` gives choices. A parameter without a
    type accepts any JSON value.

    Args:
        name: default the function's name; letters, digits, ``_ . -``, at most 100 of them.
        description: default the first paragraph of the docstring.
        tags: labels put on every workflow launched from this definition.

    Raises:
        TypeError: not a plain function, a signature that cannot be filled by name, or a tag that
            is not text.
        ValueError: a bad name, or a default that does not fit its own type.
    """

    def decorate(target: Callable[P, R]) -> Definition[P, R]:
        return _define(target, name=name, description=description, tags=tags)

    return decorate if function is None else decorate(function)


def load_all(
    sources: Iterable[str] | None = None,
) -> tuple[dict[str, Definition[..., Any]], list[DefinitionLoadError]]:
    """Load every source that can be loaded.

    Args:
        sources: dotted module names or paths of ``.py`` files; default those in the environment
            variable ``RAYFLOW_FLOWS`` (separated by commas), else the bundled examples.

    Returns:
        the definitions by name, and one error per source that has a problem. Where two sources
        use one name, the first keeps it and the second is a problem.
    """
    found: dict[str, Definition[..., Any]] = {}
    problems: list[DefinitionLoadError] = []
    for source in configured_sources() if sources is None else sources:
        try:
            for made in _definitions_of(source):
                _add(found, made, source)
        except DefinitionLoadError as error:
            problems.append(error)
    return found, problems


def load(sources: Iterable[str] | None = None) -> dict[str, Definition[..., Any]]:
    """Load all sources, as ``load_all`` does, and insist on each.

    Raises:
        DefinitionLoadError: the first source that has a problem.
    """
    found, problems = load_all(sources)
    if problems:
        raise problems[0]
    return found


def launch(
    name: str,
    params: Mapping[str, Any] | None = None,
    *,
    workflow_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    created_by: str | None = None,
    on_conflict: Literal["fail", "return"] = "fail",
    sources: Iterable[str] | None = None,
) -> str:
    """Start a workflow from a definition and return its id once it is durably accepted.

    Args:
        tags: added to the definition's own; these win.
        on_conflict: what to do when the id is taken: raise, or return it as if just started.
        sources: where to look for the definition, as in :func:`load_all`.

    Raises:
        UnknownDefinitionError: no source has this definition.
        InvalidParametersError: the parameters do not fit it.
        WorkflowExistsError: the id is taken and ``on_conflict`` is ``"fail"``.
    """
    found, problems = load_all(sources)
    if name not in found:
        # It may be in a source that cannot be loaded: the first of them is the likely cause.
        cause = problems[0] if problems else None
        raise UnknownDefinitionError(name, tuple(found)) from cause
    chosen = found[name]
    checked = chosen.validate(params)
    # Submitting needs Ray; listing and checking definitions must not.
    from rayflow import api

    try:
        return api.submit(
            chosen.build(checked),
            workflow_id=workflow_id,
            metadata=None if metadata is None else dict(metadata),
            definition=name,
            params=checked,
            tags={**chosen.tags, **(tags or {})},
            created_by=created_by,
            must_be_new=True,
        )
    except WorkflowExistsError as error:
        if on_conflict == "return":
            return error.workflow_id
        raise


def _define(
    function: Callable[P, R],
    *,
    name: str | None,
    description: str | None,
    tags: Mapping[str, str] | None,
) -> Definition[P, R]:
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise TypeError(
            f"workflow.definition needs a plain function that returns a DAG, but was given "
            f"{function!r}. Put it on the function that calls .bind(), not on a remote function."
        )
    chosen = _checked_name(function.__name__ if name is None else name)
    text = _first_paragraph(function) if description is None else description
    return Definition(
        function=function,
        name=chosen,
        description=text,
        module=function.__module__,
        tags=_checked_tags(chosen, tags),
        _parameters=Parameters(function, chosen, text),
    )


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for a definition: use 1 to 100 letters, digits, '_', '.' "
            f"or '-', for example @workflow.definition(name=\"daily_report\")."
        )
    return name


def _checked_tags(name: str, tags: Mapping[Any, Any] | None) -> dict[str, str]:
    checked = dict(tags or {})
    for key, value in checked.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"The tag {key!r}: {value!r} of the definition {name!r} is not text.")
    return checked


def _first_paragraph(function: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())


def configured_sources() -> tuple[str, ...]:
    """What ``RAYFLOW_FLOWS`` names, else the bundled examples."""
    named = [part.strip() for part in os.environ.get("RAYFLOW_FLOWS", "").split(",")]
    return tuple(part for part in named if part) or EXAMPLES


def _definitions_of(source: str) -> list[Definition[..., Any]]:
    """Import one source and return the definitions written in it, in order."""
    module = import_source(source)
    made = [each for each in vars(module).values() if isinstance(each, Definition)]
    # What it imported from elsewhere belongs there; a package may offer its own modules' ones.
    own = [each for each in made if f"{each.module}.".startswith(f"{module.__name__}.")]
    if not own:
        raise DefinitionLoadError(
            f"Nothing to load from {source!r}: no function there has @workflow.definition."
        )
    return list(dict.fromkeys(own))


def _add(found: dict[str, Definition[..., Any]], made: Definition[..., Any], source: str) -> None:
    other = found.setdefault(made.name, made)
    if other is not made:
        raise DefinitionLoadError(
            f"Cannot load definitions from {source!r}: the name {made.name!r} is already used in "
            f"{other.module}. Give one of them another name."
        )
