"""RayFlow: durable workflows on Ray. ``from rayflow import workflow`` is where to begin."""

from __future__ import annotations

from rayflow import workflow

__all__ = ["workflow"]
__version__ = "0.1.0"
