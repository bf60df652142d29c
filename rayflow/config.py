"""Settings of the library and where they come from."""

from __future__ import annotations

import os
from dataclasses import dataclass

DEFAULT_STORAGE = "/tmp/ray/workflow_data"  # the old library's default: one node only
NAMESPACE = "rayflow"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many workflows may run and wait at once; None is unlimited."""

    running: int | None = None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class ChosenLimits:
    """Limits as somebody asks for them: -1 is unlimited, None leaves what is in force."""

    running: int | None = None
    pending: int | None = None

    @classmethod
    def parse(cls, running: object, pending: object) -> ChosenLimits:
        """Limits as ``workflow.init`` takes them; 0 pending means no queue.

        Raises:
            TypeError: a limit is no integer.
            ValueError: a limit is out of range.
        """
        return cls(
            _limit("max_running_workflows", running, 1), _limit("max_pending_workflows", pending, 0)
        )

    @property
    def limits(self) -> Limits:
        """What a new engine makes of them."""
        return Limits(
            None if self.running == -1 else self.running,
            None if self.pending == -1 else self.pending,
        )


def default_storage() -> str:
    """``RAYFLOW_STORAGE``, else the old library's default.

    Raises:
        ValueError: the variable is set but empty.
    """
    storage = os.environ.get("RAYFLOW_STORAGE")
    if storage is None:
        return DEFAULT_STORAGE
    if not storage.strip():
        raise ValueError("RAYFLOW_STORAGE is empty; set it to a path or a URI, or unset it.")
    return storage


def _limit(name: str, value: object, least: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}: {value!r}.")
    if value != -1 and value < least:
        raise ValueError(f"{name} must be -1 (unlimited) or at least {least}, not {value}.")
    return value
