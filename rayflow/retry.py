"""What a user says about trying again: ``workflow.Retry``, and the judgement of exceptions.

The numbers go into the journal; the exception types travel pickled beside the code of the task, because
only a worker can load them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

ErrorTypes = tuple[type[BaseException], ...] | list[type[BaseException]] | type[BaseException]


@dataclass(frozen=True)
class Retry:
    """How often a task is tried, and how long RayFlow waits in between.

    Args:
        max_attempts: attempts that may end in an exception of the task's own code; -1 has no end.
        initial: seconds before the second attempt.
        factor: each further wait is this many times longer.
        max: no wait is longer, in seconds.
        jitter: the share of a wait, 0 to 1, that is up to chance (the same for the same attempt).
        on: exceptions that are worth another attempt, a type or several.
        never: exceptions that are not, although ``on`` has them.
        system_attempts: attempts that may be lost to dead processes or nodes; -1 has no end.

    Raises:
        TypeError: a value of another type.
        ValueError: a number out of range.
    """

    max_attempts: int = 4
    initial: float = 1.0
    factor: float = 2.0
    max: float = 60.0
    jitter: float = 0.1
    on: ErrorTypes = (Exception,)
    never: ErrorTypes = ()
    system_attempts: int = 4

    def __post_init__(self) -> None:
        for name in ("max_attempts", "system_attempts"):
            _check_count(name, getattr(self, name))
        for name, low, high in (
            ("initial", 0, math.inf),
            ("factor", 1, math.inf),
            ("max", 0, math.inf),
            ("jitter", 0, 1),
        ):
            _check_number(name, getattr(self, name), low, high)
        for name in ("on", "never"):
            check_error_types(name, getattr(self, name))

    @property
    def judge(self) -> Judge:
        """Says whether an exception is worth another attempt."""
        return Judge(_as_tuple(self.on), _as_tuple(self.never))

    def describe(self) -> dict[str, Any]:
        """The numbers, as they go into the journal."""
        return {k: v for k, v in asdict(self).items() if k not in ("on", "never")}


@dataclass(frozen=True)
class Judge:
    """Says whether an exception is worth another attempt."""

    on: tuple[type[BaseException], ...]
    never: tuple[type[BaseException], ...] = ()

    @property
    def homes(self) -> set[str]:
        """The modules of the exception types."""
        return {kind.__module__ for kind in (*self.on, *self.never)}

    def __call__(self, error: BaseException) -> bool:
        return _is_one_of(error, self.on) and not _is_one_of(error, self.never)


def check_error_types(name: str, types: object) -> None:
    """Refuse what is neither an exception type nor a list or tuple of them.

    Raises:
        TypeError: it is; the text names the option.
    """
    several = types if isinstance(types, list | tuple) else (types,)
    for kind in several:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"{name} takes exception types, not {kind!r}.")


def _as_tuple(types: ErrorTypes) -> tuple[type[BaseException], ...]:
    return tuple(types) if isinstance(types, list | tuple) else (types,)


def _is_one_of(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """By type, or by name: a module that travels by value may exist twice in a worker."""
    names = {(kind.__module__, kind.__qualname__) for kind in types}
    return isinstance(error, types) or any(
        (kind.__module__, kind.__qualname__) in names for kind in type(error).__mro__
    )


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}.")
    if value < 1 and value != -1:
        raise ValueError(f"{name} is at least 1, or -1 for no end, not {value}.")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number, not {value!r}.")
    if not (low <= value <= high) or math.isinf(value):
        limit = f"at least {low}" if math.isinf(high) else f"between {low} and {high}"
        raise ValueError(f"{name} is {limit} and finite, not {value}.")
