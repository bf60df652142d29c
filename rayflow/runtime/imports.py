"""``import`` lines inside functions that travel by value."""

from __future__ import annotations

import builtins
import dis
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

CARRIED = "__rayflow_carried__"  # in the globals of a carried function: its modules by name


def imports_of(function: FunctionType) -> dict[str, ModuleType]:
    """The modules that lines inside ``function`` import, by their full names.

    They are loaded for that; one that cannot be is left to the worker that runs the line.
    """
    namespace = function.__globals__
    carried = namespace.get(CARRIED, {})
    found: dict[str, ModuleType] = {}
    for name, level, names in _import_lines(function.__code__):
        full = _full_name(name, level, namespace)
        if full is None:
            continue
        parents = full.split(".")
        wanted = [".".join(parents[:n]) for n in range(1, len(parents) + 1)]
        for candidate in (*wanted, *(f"{full}.{child}" for child in names)):
            module = carried.get(candidate) or _module(candidate)
            if module is not None:
                found[candidate] = module
    return found


def importer(carried: dict[str, ModuleType]) -> Callable[..., Any]:
    """An ``__import__`` that looks among the modules that came with a function first."""

    def find(
        name: str,
        globals: dict[str, Any] | None = None,
        locals: Any = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        full = _full_name(name, level, globals or {})
        module = carried.get(full or "")
        if module is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        for child in fromlist or ():
            if f"{full}.{child}" in carried and not hasattr(module, child):
                setattr(module, child, carried[f"{full}.{child}"])
        return module if fromlist else carried.get(module.__name__.partition(".")[0], module)

    return find


def _full_name(name: str, level: int, namespace: dict[str, Any]) -> str | None:
    if not level:
        return name
    package = namespace.get("__package__") or namespace.get("__name__", "").rpartition(".")[0]
    try:
        return importlib.util.resolve_name("." * level + name, package)
    except ImportError:
        return None


def _module(name: str) -> ModuleType | None:
    loaded = sys.modules.get(name)
    if loaded is not None or name in sys.modules:
        return loaded
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or not _is_beside_the_program(top):
        return None
    try:
        return importlib.import_module(name)
    except Exception:  # the body of a module may raise anything; the line itself will say so
        return None


def _is_beside_the_program(top: str) -> bool:
    """Whether a package is the user's; installed ones are not loaded for a look at them."""
    from rayflow.runtime.carrying import is_installed_at

    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = [spec.origin] if spec.has_location else list(spec.submodule_search_locations or ())
    return bool(places) and not any(is_installed_at(place) for place in places if place)


@lru_cache(maxsize=4096)
def _import_lines(code: CodeType) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Name, level and what is taken, of every import in ``code`` and in what is defined in it."""
    return tuple(_walk(code))


def _walk(code: CodeType) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    constants: list[Any] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level, names = constants[-2:]
            yield instruction.argval, level, tuple(names or ())
        if instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)
