"""Importing a source of definitions: a dotted module name or the path of a ``.py`` file."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from rayflow.errors import WorkflowError

__all__ = ["DefinitionLoadError", "import_source"]


class DefinitionLoadError(WorkflowError, ValueError):
    """A source of definitions cannot be used; the message names the source and the cause."""


def import_source(source: str) -> ModuleType:
    """Import ``source``.

    Raises:
        DefinitionLoadError: whatever went wrong is its cause.
    """
    try:
        if not source.endswith(".py"):
            return importlib.import_module(source)
        path = Path(source).expanduser().resolve()
        return _execute_file(path, path.stat().st_mtime_ns)
    # Any exception: a source is a user's program and may raise whatever it likes, the SystemExit
    # of a script without a __main__ guard included. It must not take the other sources down.
    except (Exception, SystemExit) as error:
        raise DefinitionLoadError(
            f"Cannot load definitions from {source!r}: {type(error).__name__}: {error}"
        ) from error


@functools.lru_cache(maxsize=256)
def _execute_file(path: Path, _modified_ns: int) -> ModuleType:
    """Run a file as a module; again only when the file has changed."""
    name = path.stem
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        # Never stand in for a real module, not even while the file runs.
        name = f"{name}_flows"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Known while it runs, as dataclasses and type hints look their module up; unknown later, so
    # that its functions are pickled by value: workers cannot import the file.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module
