"""Importing this module makes ``from ray import workflow`` give ``rayflow.workflow``.

For programs whose import lines cannot be changed::

    import rayflow.compat.ray_workflow
    from ray import workflow

It holds for the process that imports it. A function that uses ``workflow`` as a global of its
module carries ``rayflow.workflow`` along to Ray's workers by that name.
"""

from __future__ import annotations

import sys

from rayflow import errors, workflow

__all__ = ["install"]


def install() -> None:
    """Put ``rayflow.workflow`` where ``ray.workflow`` is looked for.

    Ray still ships a module of that name whose only act is to raise; an entry in ``sys.modules``
    comes before it.
    """
    sys.modules["ray.workflow"] = workflow
    sys.modules["ray.workflow.exceptions"] = errors


install()
