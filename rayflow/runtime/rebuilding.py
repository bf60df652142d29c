"""What pickled code becomes again: the functions that pickles of :mod:`rayflow.runtime.carrying` name.

Stored code refers to them by these names, so they stay.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import sys
import types
import typing
import weakref
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ray.cloudpickle import cloudpickle as _ray_cloudpickle

from rayflow import context
from rayflow.runtime.imports import CARRIED, importer

cloudpickle: Any = _ray_cloudpickle  # it has no types
_unfinished: weakref.WeakSet[type] = weakref.WeakSet()


def make_function(
    code: types.CodeType, namespace: dict[str, Any], name: str, defaults: Any, closure: Any
) -> FunctionType:
    """A function without its globals; imports inside it find the modules that came with it."""
    if CARRIED not in namespace:
        carried: dict[str, ModuleType] = {}
        namespace[CARRIED] = carried
        namespace["__builtins__"] = {**vars(builtins), "__import__": importer(carried)}
    return FunctionType(code, namespace, name, defaults, closure)


def finish_function(function: FunctionType, parts: tuple[dict[str, Any], Any, Any]) -> None:
    """Give a function its globals, defaults, closure and attributes."""
    state, slots, imports = parts
    own = function.__globals__["__builtins__"]
    cloudpickle._function_setstate(function, (state, slots))
    function.__globals__["__builtins__"] = own
    function.__globals__[CARRIED].update(imports)


def make_class(home: tuple[str, str, str | None], maker: Callable[..., type], parts: Any) -> type:
    """A class without its attributes, or the same class that this process has already.

    ``home``: its module, its name there, and what the module's file was like.
    """
    tracked: type | None = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(parts[-2])
    if tracked is not None:
        return tracked
    own = _own_class(*home)
    if own is not None:
        return typing.cast(type, cloudpickle._lookup_class_or_track(parts[-2], own))
    made = maker(*parts)
    _unfinished.add(made)
    return made


def finish_class(made: type, state: Any) -> None:
    """Give a class its attributes, once: a second pickle of it must not change the first."""
    if made in _unfinished:
        _unfinished.discard(made)
        cloudpickle._class_setstate(made, state)


def make_module(name: str, left: tuple[str, ...]) -> ModuleType:
    """An empty module that is in no table of modules; ``left``: what of it could not be stored."""
    module = ModuleType(name)

    def absent(wanted: str) -> Any:
        if wanted in left:
            raise AttributeError(
                f"'{wanted}' of the module '{name}' did not travel with the task, because it cannot "
                "be pickled; create it inside a function."
            )
        raise AttributeError(f"module '{name}' has no attribute '{wanted}'")

    vars(module)["__getattr__"] = absent  # one of the module's own takes its place
    return module


def finish_module(module: ModuleType, state: dict[str, Any]) -> None:
    """Give a module its contents."""
    vars(module).update(state)


def cached_again(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    """A function with an empty cache."""
    return functools.lru_cache(**parameters)(function)


def property_again(function: Callable[..., Any], name: str | None) -> Any:
    """A ``cached_property``, whose lock cannot be pickled."""
    cached = functools.cached_property(function)
    cached.attrname = name
    return cached


def dispatch_again(function: Callable[..., Any], registry: dict[type, Any]) -> Any:
    """A function that dispatches on its argument's type."""
    dispatching = functools.singledispatch(function)
    for kind, implementation in registry.items():
        dispatching.register(kind, implementation)
    return dispatching


def dispatch_method_again(function: Callable[..., Any], registry: dict[type, Any]) -> Any:
    """A method that dispatches on its argument's type."""
    dispatching: Any = functools.singledispatchmethod(function)
    for kind, implementation in registry.items():
        dispatching.dispatcher.register(kind, implementation)
    return dispatching


def _own_class(module_name: str, qualname: str, source: str | None) -> type | None:
    """This program's own class, if it comes from the same source; tasks have what was submitted."""
    if source is None or context.current.get() is not None:
        return None
    if fingerprint(module_name) != source:
        return None
    found: Any = sys.modules[module_name]
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found if isinstance(found, type) else None


def fingerprint(module_name: str) -> str | None:
    """What the module's file was like when it was first asked for; None without a file."""
    file = getattr(sys.modules.get(module_name), "__file__", None)
    return _digest(file) if isinstance(file, str) else None


@lru_cache(maxsize=4096)
def _digest(file: str) -> str | None:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None
