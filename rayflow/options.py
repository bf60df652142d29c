"""Per-task options of a workflow: ``workflow.options(...)``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from rayflow.retry import Retry
from rayflow.runtime import nodes

_NAMES = ("task_id", "metadata", "catch_exceptions", "checkpoint", "retry", "effect", "finally_")
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


class options(Mapping[str, Any]):
    """Options of one task of a workflow.

    Use it as a decorator above ``@ray.remote``, or as keywords:
    ``fn.options(**workflow.options(task_id="fit"))``, ``@ray.remote(**workflow.options(...))``.

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

    Raises:
        TypeError: ``retry`` is no :class:`Retry`.
        ValueError: an unknown option, or a bad value.

    Source: seed 002, "Setting workflow options".
    """

    def __init__(self, **chosen: Any) -> None:
        unknown = sorted(set(chosen) - set(_NAMES))
        if unknown:
            raise ValueError(
                f"workflow.options does not know {', '.join(unknown)}; it takes {', '.join(_NAMES)}."
            )
        _check_types(chosen)
        self._chosen = chosen

    def __call__(self, remote_function: F) -> F:
        """Attach the options to a ``@ray.remote`` function."""
        nodes.attach_options(remote_function, self._chosen)
        return remote_function

    def __getitem__(self, key: str) -> Any:
        return nodes.as_ray_options(self._chosen)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(nodes.as_ray_options(self._chosen))

    def __len__(self) -> int:
        return len(nodes.as_ray_options(self._chosen))


def _check_types(chosen: dict[str, Any]) -> None:
    if "metadata" in chosen:
        chosen["metadata"] = check_metadata(chosen["metadata"])
    for name in ("catch_exceptions", "effect"):
        if chosen.get(name) is not None and not isinstance(chosen[name], bool):
            raise ValueError(f"{name} must be True or False, not {chosen[name]!r}.")
    checkpoint = chosen.get("checkpoint")
    if checkpoint not in (None, "async") and not isinstance(checkpoint, bool):
        raise ValueError(f"checkpoint must be True, 'async' or False, not {checkpoint!r}.")
    retry = chosen.get("retry")
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(f"retry takes a workflow.Retry(...), not {retry!r}.")
    final = chosen.get("finally_")
    if final is not None and not nodes.is_node(final):
        raise ValueError(f"finally_ takes a DAG made with .bind(), not {final!r:.100}.")
    task_id = chosen.get("task_id")
    if task_id is not None and (not isinstance(task_id, str) or not task_id):
        raise ValueError(f"task_id must be a non-empty string, not {task_id!r}.")
    if task_id is not None and not _is_utf8(task_id):
        raise ValueError(f"task_id {task_id!r} cannot be written as UTF-8; remove lone surrogates.")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
