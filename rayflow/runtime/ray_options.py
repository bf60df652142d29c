"""RayFlow's options among Ray's own.

Ray keeps the options of a task in one dict, which ``@ray.remote``, ``.options()`` and ``.bind()`` merge
option by option. RayFlow's options are entries of that dict, so every spelling merges them alike. Ray
refuses names that its tables do not have and has no public way to add one; they are added here. Ray
hands only the options that it knows to its scheduler, so ours go no further than the dict.
"""

from __future__ import annotations

import base64
import json
import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cloudpickle
from ray.remote_function import RemoteFunction

try:
    from ray._common import ray_option_utils as tables

    _entry = tables.Option()
    _known = (tables.task_options, tables.valid_options)
except (ImportError, AttributeError, TypeError) as error:
    raise ImportError(
        "This version of Ray has no ray._common.ray_option_utils.task_options, to which RayFlow adds "
        "workflow.options; use Ray 2.60, or a RayFlow made for this Ray."
    ) from error

_PREFIX = "_rayflow_"
_registering = threading.Lock()


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of one of RayFlow's options, as it lies among Ray's.

    Making one, by unpickling too, registers its name: so Ray knows the option wherever a remote
    function that has it arrives.
    """

    name: str
    value: Any
    is_decoration: bool = False

    def __post_init__(self) -> None:
        _register(_PREFIX + self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return Setting, (self.name, self.value, self.is_decoration)


def among_rays(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """RayFlow's options as keywords that Ray accepts."""
    return {_PREFIX + name: Setting(name, value) for name, value in chosen.items()}


def apart(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ray's options, and RayFlow's by their own names."""
    rays = {k: v for k, v in options.items() if not isinstance(v, Setting)}
    return rays, {v.name: v.value for v in options.values() if isinstance(v, Setting)}


def decorate(remote_function: Any, chosen: Mapping[str, Any]) -> None:
    """Give a ``@ray.remote`` function options; what ``@ray.remote(...)`` itself says goes first.

    An earlier decoration is gone entirely.

    Raises:
        ValueError: it is not a remote function.
    """
    if not isinstance(remote_function, RemoteFunction):
        raise ValueError("workflow.options decorates a function that @ray.remote has made remote.")
    declared = {
        key: value
        for key, value in remote_function._default_options.items()
        if not (isinstance(value, Setting) and value.is_decoration)
    }
    ours = {_PREFIX + name: Setting(name, value, True) for name, value in chosen.items()}
    remote_function._default_options = {**ours, **declared}


def _register(key: str) -> None:
    """Ray's loops run over its tables in other threads, so tables are replaced and not changed."""
    if key in tables.task_options and key in tables.valid_options:
        return
    with _registering:
        tables.task_options = {**tables.task_options, key: _entry}
        tables.valid_options = {**tables.valid_options, key: _entry}


def described(task: str, rays: Mapping[str, Any]) -> dict[str, Any]:
    """Ray's options as JSON can hold them; objects become ``{"pickled": base64, "repr": text}``.

    Raises:
        ValueError: Ray has no use for an option, or it cannot be stored. The text names both.
    """
    _check(task, rays)
    return {name: _described(task, name, value) for name, value in rays.items()}


def restored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`described`.

    Raises:
        ValueError: an object cannot be loaded here.
    """
    return {name: _restored(name, value) for name, value in stored.items()}


def _check(task: str, rays: Mapping[str, Any]) -> None:
    """Ray looks at options when they are given, each alone; this looks again before all is stored."""
    for name, value in rays.items():
        try:
            tables.validate_task_options({name: value}, in_options=name != "max_calls")
        except (ValueError, TypeError) as error:
            raise ValueError(f"The option {name}={value!r} of task {task}: {error}") from None
    strategy = rays.get("scheduling_strategy")
    if isinstance(strategy, str) and strategy not in ("DEFAULT", "SPREAD"):
        raise ValueError(
            f"The option scheduling_strategy={strategy!r} of task {task} is neither 'DEFAULT' nor "
            "'SPREAD' nor one of the objects of ray.util.scheduling_strategies."
        )


def _described(task: str, name: str, value: Any) -> Any:
    try:
        plain = json.loads(json.dumps(value, allow_nan=False))
        if plain == value and not _is_pickled(plain):
            return plain
    except (TypeError, ValueError, RecursionError):
        pass  # an object, which is pickled
    try:
        pickled = base64.b64encode(cloudpickle.dumps(value)).decode()
    except Exception as error:  # objects of the user may raise anything
        raise ValueError(
            f"The option {name}={value!r} of task {task} cannot be stored: "
            f"{type(error).__name__}: {error}."
        ) from error
    return {"pickled": pickled, "repr": repr(value)}


def _restored(name: str, value: Any) -> Any:
    if not _is_pickled(value):
        return value
    try:
        return pickle.loads(base64.b64decode(value["pickled"]))
    except Exception as error:
        raise ValueError(
            f"The option {name}={value['repr']} cannot be loaded here: "
            f"{type(error).__name__}: {error}."
        ) from error


def _is_pickled(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"pickled", "repr"}
