"""Per-task options of a workflow: ``workflow.options(...)``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from rayflow.retry import Retry
from rayflow.runtime import nodes, ray_options

F = TypeVar("F")


def check_metadata(metadata: object) -> dict[str, Any]:
    """Return user metadata as a plain dict.

    Raises:
        ValueError: it is no dict, or JSON cannot hold it.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ValueError(f"metadata must be a dict, not {type(metadata).__name__}: {metadata!r}.")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(metadata, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"metadata must be JSON serializable: {error}.") from error
    return copy


def check_seconds(name: str, value: object, *, zero: bool = False) -> float | None:
    """Return a number of seconds, or None.

    Raises:
        TypeError: it is no number.
        ValueError: it is not finite and over zero (or zero itself where ``zero`` allows it).
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number of seconds, not {value!r}.")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        limit = "at least 0" if zero else "over 0"
        raise ValueError(f"{name} is a finite number of seconds {limit}, not {value!r}.")
    return float(value)


class options(Mapping[str, Any]):
    """Options of one task of a workflow.

    Use it as a decorator above ``@ray.remote``, or as keywords:
    ``fn.options(**workflow.options(task_id="fit"))``, ``@ray.remote(**workflow.options(...))``.
    Options that are given later replace earlier ones, one by one.

    Args:
        task_id: the id of the task; a second task with the same id gets a suffix ``_1``.
        metadata: a JSON-serialisable dict, returned by ``get_metadata``.
        catch_exceptions: the task's value becomes ``(value, None)`` or ``(None, exception)``.
        checkpoint: True stores the result before anything starts that uses it; ``"async"`` lets those
            start meanwhile, but records nothing of them before it; False keeps the result out of the
            storage, and it is computed again if needed.
        effect: True if the task does more than compute (it publishes, pays, sends). It starts only
            when everything that its inputs rest on is durable, so they cannot change later.
        finally_: a DAG made with ``.bind()`` that runs when the workflow has come to its end, well or
            badly, if this task could have started. It may use other tasks of the workflow as inputs.
        retry: a :class:`Retry`; it takes the place of Ray's ``max_retries`` and ``retry_exceptions``.
        timeout: seconds that an attempt may take, from when its body has started.
        heartbeat_timeout: seconds that an attempt may be without ``workflow.heartbeat()``.
        grace: seconds that an attempt has to end by itself when it is to stop; default 30.
        bundle: False gives every attempt a worker of its own. Otherwise short ones share workers.

    None is what a task has without the option.

    Raises:
        TypeError: ``retry`` is no :class:`Retry`, or a number of seconds is no number.
        ValueError: an unknown option, or a bad value.

    Source: seed 002, "Setting workflow options"; ``ray-workflows`` 1.4.
    """

    def __init__(self, **chosen: Any) -> None:
        unknown = sorted(set(chosen) - set(_CHECKS))
        if unknown:
            raise ValueError(
                f"workflow.options does not know {', '.join(unknown)}; it takes {', '.join(_CHECKS)}."
            )
        self._chosen = {
            name: None if value is None else _CHECKS[name](name, value)
            for name, value in chosen.items()
        }
        self._keywords = ray_options.among_rays(self._chosen)

    def __call__(self, remote_function: F) -> F:
        """Attach the options to a ``@ray.remote`` function."""
        ray_options.decorate(remote_function, self._chosen)
        return remote_function

    def __getitem__(self, key: str) -> Any:
        return self._keywords[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords)

    def __len__(self) -> int:
        return len(self._keywords)


def _metadata(name: str, value: object) -> dict[str, Any]:
    return check_metadata(value)


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}.")
    return value


def _checkpoint(name: str, value: object) -> bool | str:
    if value != "async" and not isinstance(value, bool):
        raise ValueError(f"{name} must be True, 'async' or False, not {value!r}.")
    return value


def _final(name: str, value: object) -> object:
    if not nodes.is_node(value):
        raise ValueError(f"{name} takes a DAG made with .bind(), not {value!r:.100}.")
    return value


def _retry(name: str, value: object) -> Retry:
    if not isinstance(value, Retry):
        raise TypeError(f"{name} takes a workflow.Retry(...), not {value!r}.")
    return value


def _task_id(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a non-empty string, not {value!r}.")
    if not _is_utf8(value):
        raise ValueError(f"{name} {value!r} cannot be written as UTF-8; remove lone surrogates.")
    return value


def _seconds(name: str, value: object) -> float:
    seconds = check_seconds(name, value, zero=name == "grace")
    assert seconds is not None
    return seconds


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Every option, and what looks at a value of it (never None) and returns it as it is kept.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "task_id": _task_id,
    "metadata": _metadata,
    "catch_exceptions": _switch,
    "checkpoint": _checkpoint,
    "effect": _switch,
    "finally_": _final,
    "retry": _retry,
    "timeout": _seconds,
    "heartbeat_timeout": _seconds,
    "grace": _seconds,
    "bundle": _switch,
}
