"""RayFlow: durable workflows on Ray. ``from rayflow import workflow`` is where to begin.

The import of Ray takes seconds, so it waits until someone asks for `workflow`: the command line and
the web application import other parts of this package and never need it.
"""

from __future__ import annotations

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
