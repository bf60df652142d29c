"""The engine's feed for programs outside Ray's cluster logic: which workflows changed."""

from __future__ import annotations

from rayflow.api import changes
from rayflow.runtime.feed import Changes

__all__ = ["Changes", "changes"]
