"""One function for every item of a list that is known only when the workflow runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rayflow import context
from rayflow.runtime import nodes
from rayflow.runtime.nodes import Call, MapNode


def map_items(
    fn: Any,
    items: Any,
    *,
    max_in_flight: int | None = None,
    on_error: str = "fail",
    task_id: str | None = None,
) -> Any:
    """A DAG node whose value is the list of ``fn``'s values for all ``items``, in their order.

    Each item has a task of its own, with retries, a checkpoint, metadata and ``get_output``; their ids are
    numbered as those of any tasks of ``fn``. After a crash only the missing ones run. The list is
    written down once, many items in one record.

    Args:
        fn: a function made with ``@ray.remote``, with its options, which takes one argument.
        items: any iterable, or a DAG node whose value is one.
        max_in_flight: how many items may be under way at once; one that waits for its next attempt
            counts. Default: as many as the cluster has room for.
        on_error: ``"fail"``: the workflow fails with the first item that does. ``"collect"``: every
            result is ``(value, None)`` or ``(None, exception)``.
        task_id: the id of the task that reads the list; default ``workflow.map``. Its metadata counts the
            items.

    Raises:
        TypeError, ValueError: an argument that makes no sense.

    Source: ``user-demand`` 4.1.
    """
    call = _call_of_one(fn)
    if on_error not in ("fail", "collect"):
        raise ValueError(f"on_error is 'fail' or 'collect', not {on_error!r}.")
    _check_limit(max_in_flight)
    if not nodes.is_node(items):
        items = _listed(items)
    options = dict(call.options)
    if on_error == "collect":
        options["catch_exceptions"] = True
    plan = (call.function, call.ray_options, options)
    ours = {"task_id": task_id or "workflow.map"}
    return nodes.calling(_each, ours, (plan, items, max_in_flight))


def _call_of_one(fn: Any) -> Call:
    if not hasattr(fn, "bind") or not hasattr(fn, "remote"):
        raise TypeError(f"workflow.map takes a function made with @ray.remote, not {fn!r:.100}.")
    call = nodes.call_of(fn.bind(None))
    if call.options.get("finally_") is not None:
        raise ValueError("An item of workflow.map has no finally_; give it to another task.")
    return call


def _check_limit(limit: object) -> None:
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"max_in_flight is a whole number, not {limit!r}.")
    if limit < 1:
        raise ValueError(f"max_in_flight is at least 1, not {limit}.")


def _listed(items: Any) -> list[Any]:
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise TypeError(f"items is a list or another iterable, not {items!r:.100}.")
    return list(items)


def _each(plan: tuple[Any, ...], items: Any, limit: int | None) -> Any:
    """Continue as a task for every item; outside a workflow, call the function for each."""
    function, ray_options, options = plan
    listed = _listed(items)
    lifeline = context.lifeline()
    if lifeline is None:
        return nodes.call_each(function, ray_options, listed, bool(options.get("catch_exceptions")))
    call = Call(function, (None,), {}, ray_options, options)
    return MapNode(call, tuple(listed), lifeline.attempt[1], limit) if listed else []
