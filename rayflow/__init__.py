"""RayFlow: durable workflows on Ray. ``from rayflow import workflow`` is where to begin.

Importing the package itself stays light: ``rayflow.reader`` and ``rayflow.definitions`` work in
processes that never load Ray, such as the follower and the command line.
"""

from __future__ import annotations

__version__ = "0.1.0"
