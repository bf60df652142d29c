"""Importing this module makes ``from ray import workflow`` give ``rayflow.workflow``.

For programs whose import lines cannot be changed::

    import rayflow.compat.ray_workflow
    from ray import workflow

It holds for the process that imports it, and for the tasks of the workflows that it submits: their bodies
may say ``from ray import workflow``, too, wherever they run. Other workflows are not affected.
"""

from __future__ import annotations

from rayflow.compat.names import install

__all__ = ["install"]

install()
