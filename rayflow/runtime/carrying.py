"""Pickling of code that is not installed: the user's functions, classes and modules, by value.

Ray's copy of cloudpickle is used, not the package: Ray moves live values with it, and both know a class
that travels by an id in the same table, so one class stays one class within a process.
"""

from __future__ import annotations

import functools
import io
import sys
import sysconfig
import threading
import typing
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ray.cloudpickle import cloudpickle as _ray_cloudpickle

from rayflow.runtime import rebuilding
from rayflow.runtime.imports import CARRIED, imports_of

cloudpickle: Any = _ray_cloudpickle  # it has no types
_BY_REFERENCE = ("rayflow", "ray")
_CACHED = type(lru_cache(lambda: None))
_DEEP_STACK_BYTES, _DEEP_LIMIT = 512 * 2**20, 100_000
_OF_THE_LOADER = {"__builtins__", "__loader__", "__spec__", "__cached__"}

# Nobody wants the state of these: where they are globals, new ones take their place.
_RENEWED: dict[type, Callable[[], Any]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
    threading.Condition: threading.Condition,
    threading.Event: threading.Event,
    threading.local: threading.local,
}

_storable: weakref.WeakKeyDictionary[ModuleType, tuple[int, list[str]]] = (
    weakref.WeakKeyDictionary()
)


def dump(value: Any, only: set[str] | None = None) -> bytes:
    """Pickle ``value`` with the code that is not installed.

    Args:
        only: take along the code of these modules alone, and name that of others.
    """
    try:
        return _dump(value, only)
    except Exception as error:
        if not _is_too_deep(error):
            raise
    return _with_deep_stack(lambda: _dump(value, only))


def travels(value: Any) -> bool:
    """Whether the code of a class, function or module is to be taken along."""
    if isinstance(value, ModuleType):
        return value.__name__ != "__main__" and not is_installed(value)
    name = getattr(value, "__module__", None)
    if not isinstance(name, str):
        return False
    module = sys.modules.get(name)
    return module is None or name == "__main__" or not is_installed(module)


def is_installed(module: ModuleType) -> bool:
    """Whether every node can be expected to have ``module``: installed, built in, or RayFlow itself."""
    if module.__name__.partition(".")[0] in _BY_REFERENCE:
        return True
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return is_installed_at(file)
    folders = getattr(module, "__path__", None)
    if folders is not None:  # a package without a file: a namespace
        return all(map(is_installed_at, folders))
    return getattr(module, "__spec__", None) is not None  # built in


class CodePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Decides for each function, class and module by where its module comes from."""

    def __init__(self, file: io.BytesIO, only: set[str] | None) -> None:
        super().__init__(file, protocol=5)
        self._only = only

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and self._takes(obj):
            return _class_parts(obj)
        if isinstance(obj, FunctionType) and self._takes(obj):
            registry = getattr(obj, "registry", None)
            if registry is not None and hasattr(obj, "dispatch"):
                return rebuilding.dispatch_again, (
                    getattr(obj, "__wrapped__", None),
                    dict(registry),
                )
            return self._dynamic_function_reduce(obj)
        if isinstance(obj, ModuleType) and self._takes(obj):
            return _module_parts(obj)
        if isinstance(obj, _CACHED) and self._takes(obj):
            return rebuilding.cached_again, (obj.__wrapped__, obj.cache_parameters())
        if isinstance(obj, functools.cached_property):
            return rebuilding.property_again, (obj.func, obj.attrname)
        if isinstance(obj, functools.singledispatchmethod):
            return rebuilding.dispatch_method_again, (obj.func, dict(obj.dispatcher.registry))
        if isinstance(obj, typing.TypeVar) and self._takes(obj):
            return cloudpickle._make_typevar, cloudpickle._decompose_typevar(obj)
        return super().reducer_override(obj)

    def _dynamic_function_reduce(self, func: FunctionType) -> Any:
        _, made_of, (state, slots), *_ = super()._dynamic_function_reduce(func)
        slots["__globals__"] = {k: _renewed(v) for k, v in slots["__globals__"].items()}
        imports = {k: m for k, m in imports_of(func).items() if self._takes(m)}
        return (
            rebuilding.make_function,
            made_of,
            (state, slots, imports),
            None,
            None,
            rebuilding.finish_function,
        )

    def _takes(self, obj: Any) -> bool:
        if self._only is not None:
            name = obj.__name__ if isinstance(obj, ModuleType) else obj.__module__
            if name not in self._only and name != "__main__":
                return False
        return travels(obj)


class _Trial(CodePickler):
    """Tries out whether something can be stored, without following modules and what is known."""

    def __init__(self, known: set[int]) -> None:
        super().__init__(io.BytesIO(), None)
        self._known = known

    def persistent_id(self, obj: Any) -> Any:
        return "known" if isinstance(obj, ModuleType) or id(obj) in self._known else None


@dataclass(frozen=True)
class _New:
    """Unpickles as a new object."""

    make: Callable[[], Any]

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return self.make, ()


def _dump(value: Any, only: set[str] | None) -> bytes:
    sink = io.BytesIO()
    CodePickler(sink, only).dump(value)
    return sink.getvalue()


def _is_too_deep(error: Exception) -> bool:
    return isinstance(error.__cause__ or error, RecursionError)


def _with_deep_stack(work: Callable[[], bytes]) -> bytes:
    """Functions that call each other in a long chain need more stack than a thread has."""
    done: list[bytes] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # handed over to the caller's thread
            failed.append(error)

    limit, size = sys.getrecursionlimit(), threading.stack_size(_DEEP_STACK_BYTES)
    try:
        sys.setrecursionlimit(_DEEP_LIMIT)
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    if failed:
        raise failed[0]
    return done[0]


def _class_parts(kind: type) -> tuple[Any, ...]:
    if kind in cloudpickle._BUILTIN_TYPE_NAMES:
        return cloudpickle._builtin_type, (cloudpickle._BUILTIN_TYPE_NAMES[kind],)
    maker, parts, state, *_ = cloudpickle._dynamic_class_reduce(kind)
    home = (kind.__module__, kind.__qualname__, rebuilding.fingerprint(kind.__module__))
    return rebuilding.make_class, (home, maker, parts), state, None, None, rebuilding.finish_class


def _module_parts(module: ModuleType) -> tuple[Any, ...]:
    contents = vars(module)
    state = {k: _renewed(contents[k]) for k in _storable_names(module) if k in contents}
    left = tuple(k for k in contents if k not in state and k not in _OF_THE_LOADER)
    made_of = (module.__name__, left)
    return rebuilding.make_module, made_of, state, None, None, rebuilding.finish_module


def _storable_names(module: ModuleType) -> list[str]:
    """What of a module can be stored; the rest, such as open connections, is left behind."""
    count, names = _storable.get(module, (-1, []))
    if count != len(vars(module)):
        names = list(_tried(module, set()))
        _storable[module] = len(vars(module)), names
    return names


def _tried(module: ModuleType, known: set[int]) -> Iterator[str]:
    for name, value in list(vars(module).items()):
        if name in _OF_THE_LOADER or name == CARRIED:
            continue
        try:
            _Trial(known).dump(_renewed(value))
        except Exception as error:  # objects may raise anything from __reduce__
            if _is_too_deep(error) and sys.getrecursionlimit() < _DEEP_LIMIT:
                raise  # it is tried again with more room
            continue
        known.add(id(value))
        yield name


def _renewed(value: Any) -> Any:
    make = _RENEWED.get(type(value))
    return value if make is None else _New(make)


@lru_cache(maxsize=4096)
def is_installed_at(path: str) -> bool:
    """Whether the file or folder ``path`` belongs to Python, or to an installed package."""
    place = Path(path)
    if place.suffix not in (".py", "") and not place.is_dir():
        return True  # machine code cannot be taken along
    if {"site-packages", "dist-packages"} & set(place.parts):
        return True
    paths = sysconfig.get_paths()
    return any(place.is_relative_to(paths[name]) for name in ("stdlib", "platstdlib"))
