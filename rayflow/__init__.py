"""RayFlow: durable workflows on Ray. ``from rayflow import workflow`` is where to begin.

Importing the package itself stays light: Ray takes seconds to load, so it waits until someone asks for
``workflow``. The command line, the reader and the web application never need it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayflow import workflow

__all__ = ["workflow"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "workflow":
        return importlib.import_module("rayflow.workflow")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
