"""What the body of a task may ask of RayFlow: hand over, keep files, give signs of life."""

from __future__ import annotations

from typing import Any

from rayflow import context
from rayflow.runtime import nodes
from rayflow.storage import layout
from rayflow.storage.root import open_store


def continuation(dag: Any) -> Any:
    """Hand over to a DAG: returned from a task, its value replaces the task's. In its threads, too.

    Outside a workflow the DAG is executed at once and its value returned.

    Raises:
        TypeError: ``dag`` is no DAG node.
    """
    if not nodes.is_node(dag):
        raise TypeError(f"continuation takes a DAG made with .bind(); got {type(dag).__name__}.")
    is_inside = context.current.get() is not None or context.lifeline() is not None
    return dag if is_inside else nodes.execute(dag)


def artifact(name: str, data: bytes) -> str:
    """Store a file beside the running workflow and return its key in the storage.

    The same name is replaced as a whole, so a repeated attempt leaves one complete file.

    Raises:
        RuntimeError: not called inside a task of a workflow.
        DataSaveError: the storage failed.
    """
    task = context.current.get()
    if task is None:
        raise RuntimeError("workflow.artifact works inside a task of a workflow.")
    key = layout.artifact(task.workflow_id, name)
    open_store(task.storage).write(key, [data])
    return key


def cancelled() -> bool:
    """Whether the task that calls this was asked to stop; False outside a task.

    For code in threads, and for code that catches KeyboardInterrupt. It costs next to nothing.
    """
    lifeline = context.lifeline()
    return lifeline is not None and lifeline.is_cancelled()


def heartbeat(details: Any = None) -> None:
    """Say that the running task is alive, and how far it has come. Cheap: call it often.

    Args:
        details: plain JSON values, at most 16 KiB; the next attempt gets the last ones of an attempt
            that had no value from :func:`last_heartbeat`. None leaves those that were given before.

    Raises:
        RuntimeError: not called inside a task of a workflow.
        ValueError: JSON cannot hold ``details``, or they are too large.
    """
    context.inside("heartbeat").beat(details)


def checkpoint_state(value: Any) -> None:
    """Save how far the running task has come; durable when this returns.

    The next attempt, after a crash or a resume too, gets it from :func:`restored_state`. The last one counts.

    Args:
        value: anything that a task may return.

    Raises:
        RuntimeError: not called inside a task of a workflow.
        SerializationError: the value cannot be stored.
        StaleAttemptError: the attempt was stopped or replaced.

    Source: ``user-demand`` C9.
    """
    context.inside("checkpoint_state").checkpoint(value)


def restored_state(default: Any = None) -> Any:
    """What this attempt or an earlier one of the running task has saved last; else ``default``.

    Raises:
        RuntimeError: not called inside a task of a workflow.
        DataLoadError: it cannot be read.
    """
    return context.inside("restored_state").restored(default)


def last_heartbeat() -> Any:
    """The last details that an earlier attempt of the running task gave; None if there are none.

    Raises:
        RuntimeError: not called inside a task of a workflow.
    """
    return context.inside("last_heartbeat").last_heartbeat
