"""Settings of the library and where they come from."""

from __future__ import annotations

import os
from dataclasses import dataclass

DEFAULT_STORAGE = "/tmp/ray/workflow_data"  # the old library's default: one node only
NAMESPACE = "rayflow"
MOST_ENGINES = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How many workflows may run and wait at once; None is unlimited."""

    running: int | None = None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class ChosenLimits:
    """Limits, and a number of engines, as somebody asks for them: None leaves what is in force.

    A limit of -1 is unlimited.
    """

    running: int | None = None
    pending: int | None = None
    engines: int | None = None

    @classmethod
    def parse(cls, running: object, pending: object, engines: object = None) -> ChosenLimits:
        """What ``workflow.init`` takes; 0 pending means no queue.

        Raises:
            TypeError: one of them is no integer.
            ValueError: one of them is out of range.
        """
        return cls(
            _limit("max_running_workflows", running, 1),
            _limit("max_pending_workflows", pending, 0),
            _engines(engines),
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


def default_engines() -> int | None:
    """``RAYFLOW_ENGINES``: how many engines are to share a root, for those who start them.

    Raises:
        ValueError: the variable is set to something that makes no sense.
    """
    text = os.environ.get("RAYFLOW_ENGINES", "").strip()
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"RAYFLOW_ENGINES is a number of engines, not {text!r}.")
    return _engines(int(text), "RAYFLOW_ENGINES")


def _limit(name: str, value: object, least: int) -> int | None:
    if value is None:
        return None
    limit = _integer(name, value)
    if limit != -1 and limit < least:
        raise ValueError(f"{name} must be -1 (unlimited) or at least {least}, not {limit}.")
    return limit


def _engines(value: object, name: str = "engines") -> int | None:
    if value is None:
        return None
    count = _integer(name, value)
    if not 1 <= count <= MOST_ENGINES:
        raise ValueError(f"{name} must be from 1 to {MOST_ENGINES}, not {count}.")
    return count


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}: {value!r}.")
    return value
