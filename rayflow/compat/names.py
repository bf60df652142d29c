"""The names of the old library, put where they are looked for and taken away again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from rayflow import errors, workflow
from rayflow.compat import common, event_listener, http_event_provider

_OLD = "ray.workflow"
# What of the old submodules has a counterpart; the others are simply not there.
_SUBMODULES: dict[str, ModuleType] = {
    "exceptions": errors,
    "common": common,
    "event_listener": event_listener,
    "http_event_provider": http_event_provider,
}


def install() -> None:
    """Put ``rayflow.workflow`` where ``ray.workflow`` is looked for, and its submodules likewise.

    Ray still ships a module of that name whose only act is to raise; an entry in ``sys.modules``
    comes before it.
    """
    sys.modules[_OLD] = workflow
    for name, module in _SUBMODULES.items():
        sys.modules[f"{_OLD}.{name}"] = module
        if not hasattr(workflow, name):  # for ``from ray.workflow import common``
            setattr(workflow, name, module)


def uninstall() -> None:
    """Undo :func:`install`."""
    sys.modules.pop(_OLD, None)
    for name, module in _SUBMODULES.items():
        sys.modules.pop(f"{_OLD}.{name}", None)
        if name not in workflow.__all__ and getattr(workflow, name, None) is module:
            delattr(workflow, name)


def is_installed() -> bool:
    """Whether the old names give RayFlow in this process."""
    return sys.modules.get(_OLD) is workflow


@contextmanager
def installed() -> Iterator[None]:
    """Have the old names for a while; those who come after find everything as it was."""
    if is_installed():
        yield
        return
    install()
    try:
        yield
    finally:
        uninstall()
