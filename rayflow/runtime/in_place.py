"""Steps that run in the process of the task that continues as them, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from rayflow.core.graph import Graph
from rayflow.runtime import nodes
from rayflow.runtime.nodes import Call

Body = Callable[[Callable[..., Any], Sequence[Any], dict[str, Any]], Any]


class PlanError(Exception):
    """What a body has continued as cannot be stored, or makes no sense; its cause says why."""


@dataclass(frozen=True, slots=True)
class Hops:
    """What has become of the value of a body, which may have been steps that run in place.

    ``graphs`` are those steps. ``value`` is the value of the last, or a ``graph`` if that continues as
    something else. ``catches``: whether the value is still to become ``(value, None)``.
    """

    graphs: tuple[Graph, ...]
    value: Any
    catches: bool
    graph: Graph | None = None


def follow(
    value: Any, catches: bool, translated: Callable[[Any], Graph], body: Body | None
) -> Hops:
    """Run what may run here until there is a value, or a graph that runs elsewhere.

    A loop and no recursion: a long chain of such steps needs no deeper stack. ``translated`` makes a graph
    of a node, ``body`` runs code of the user; without one all of it runs elsewhere.

    Raises:
        PlanError: a node cannot be translated.
        Exception: what a step raises that is out of attempts and does not catch.
    """
    hops: list[Graph] = []
    while nodes.is_node(value):
        try:
            graph = translated(value)
        except Exception as error:
            raise PlanError from error
        if body is None or not _is_alone(value, graph):
            return Hops(tuple(hops), None, catches, graph)
        hops.append(graph)
        call = value.call
        own = call.options.get("catch_exceptions")
        catches = catches if own is None else own
        try:
            value = _run(call, body)
        except Exception as error:
            if not own:
                raise
            value, catches = (None, error), False
    return Hops(tuple(hops), value, catches)


def _is_alone(value: Any, graph: Graph) -> bool:
    """Whether a step may run here: somebody allows it, and it needs no other task."""
    if not (nodes.is_step(value) and value.is_inplace and len(graph.nodes) == 1):
        return False
    return not any(graph.nodes[0].known) and graph.nodes[0].options.wait is None


def _run(call: Call, body: Body) -> Any:
    args = [_loaded(value) for value in call.args]
    kwargs = {key: _loaded(value) for key, value in call.kwargs.items()}
    left: int = call.ray_options.get("max_retries", 0)
    while True:
        try:
            return body(call.function, args, kwargs)
        except Exception:
            if left == 0:
                raise
            left -= 1


def _loaded(value: Any) -> Any:
    return ray.get(value) if isinstance(value, ray.ObjectRef) else value
