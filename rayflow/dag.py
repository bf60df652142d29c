"""From a Ray DAG to a graph of plain values, without recursion.

Ray's own walk recurses and pickles chains of nodes, which ends near 300 links; this one keeps its own
stack and pickles every task's arguments alone, with the nodes inside replaced by references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rayflow.core.compact import compact
from rayflow.core.graph import Graph, Item, Node, StoredValue, TaskOptions
from rayflow.core.ids import task_name
from rayflow.errors import TaskHeartbeatError, TaskTimeoutError
from rayflow.retry import Judge, Retry, check_error_types
from rayflow.runtime import nodes
from rayflow.runtime.nodes import Call, DagStep, MapNode, StepNode, TaskReference
from rayflow.runtime.ray_options import described
from rayflow.storage.pickling import is_plain, stays

ITEMS_TOGETHER = 256
SMALL_ITEM = 16 * 1024  # bytes: what a task may read in vain for each of the others


@stays
@compact
@dataclass(frozen=True, slots=True)
class Slot:
    """Stands in stored arguments for the value of an upstream task, or of a stored object."""

    kind: str
    which: Any


class Encoder(Protocol):
    """What a translation needs of its surroundings: somewhere to put code and arguments."""

    def function(self, function: Callable[..., Any]) -> str:
        """Store the code of ``function`` and return its digest."""

    def object_ref(self, value: Any) -> StoredValue | None:
        """If ``value`` is a reference to a Ray object, store what it refers to, once."""

    def arguments(self, value: Any, persistent_id: Callable[[Any], Any], task: str) -> StoredValue:
        """Encode the arguments of ``task``."""

    def size(self, value: Any, persistent_id: Callable[[Any], Any], task: str) -> int:
        """How many bytes :meth:`arguments` would take for ``value``."""


def translate(
    root: Any,
    encoder: Encoder,
    *,
    args: tuple[Any, ...] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Graph:
    """The graph below ``root``, dependencies first.

    Args:
        root: a node made by ``fn.bind(...)``.
        encoder: stores code and arguments.
        args: positional values for the DAG's ``InputNode``; None, as in a continuation, allows none.
        kwargs: keyword values for it.

    Raises:
        TypeError: ``root`` is no node, a node is not a function node, or arguments do not fit.
        ValueError: a task has several return values.
        SerializationError: arguments or code cannot be stored.
    """
    if not nodes.is_node(root):
        raise TypeError(
            f"A workflow runs a DAG made with .bind(); got {type(root).__name__}: {root!r:.100}."
        )
    if isinstance(root, DagStep):
        root, args, kwargs = root.dag, root.args, root.kwargs
    if isinstance(root, MapNode):
        return _Translation(encoder, None, {}).each(root)
    if isinstance(root, TaskReference):  # whoever continues as another task passes its value on
        root = StepNode(root.call)
    return _Translation(encoder, args, kwargs or {}).run(root)


@dataclass(slots=True)
class _Open:
    """A node whose upstream nodes are being translated."""

    node: Any
    call: Call
    args: StoredValue
    upstream: list[Any]
    watches: list[Any]
    next: int = 0


class _Translation:
    def __init__(
        self, encoder: Encoder, args: tuple[Any, ...] | None, kwargs: Mapping[str, Any]
    ) -> None:
        self._encoder, self._args, self._kwargs = encoder, args, kwargs
        self._done: dict[int, int] = {}
        self._nodes: list[Node] = []
        self._owner: int | None = None  # whose ``finally_`` nodes are being translated
        self._finals: list[tuple[int, Any]] = []  # owners and their ``finally_`` nodes
        self._alike: dict[Any, tuple[str, str, TaskOptions]] = {}  # see _shared

    def run(self, root: Any) -> Graph:
        self._walk(root)
        count = len(self._nodes)
        for owner, final in self._finals:  # which may add to it
            if id(final) in self._done:
                raise ValueError(
                    f"The finally_ DAG of task {self._nodes[owner].name} is a part of the workflow "
                    "already; bind one of its own, which may use tasks of the workflow as inputs."
                )
            self._owner = owner
            self._walk(final)
        return Graph(tuple(self._nodes), len(self._nodes) - count, nodes.is_step(root))

    def each(self, root: MapNode) -> Graph:
        """A node for every item, and one that puts their values together."""
        call, name = root.call, _name(root.call)
        function, options = self._encoder.function(call.function), self._options(call)
        metadata = call.options.get("metadata") or {}
        for start in range(0, len(root.items), ITEMS_TOGETHER):
            stored = self._items(root.items[start : start + ITEMS_TOGETHER], name)
            for at, args in stored:
                item = Item(root.of, at, root.limit)
                self._nodes.append(
                    Node(name, function, args, options=options, metadata=metadata, item=item)
                )
        slots = tuple(Slot("task", place) for place in range(len(self._nodes)))
        last = f"{root.of}.together"
        args = self._encoder.arguments((slots, {}), lambda _: None, last)
        code = self._encoder.function(nodes.together)
        light = TaskOptions(ray={"num_cpus": 0})
        self._nodes.append(Node(last, code, args, tuple(range(len(slots))), light))
        return Graph(tuple(self._nodes))

    def _items(self, items: tuple[Any, ...], name: str) -> list[tuple[int, StoredValue]]:
        """Where each of some items is: small ones together, so that there is one write for many."""

        def persistent_id(value: Any) -> Any:
            if nodes.is_node(value):
                raise TypeError(
                    f"An item of workflow.map is a value, not a {type(value).__name__}."
                )
            stored = self._encoder.object_ref(value)
            return None if stored is None else ("object", stored)

        def top(value: Any) -> Any:
            found = persistent_id(value)
            return value if found is None else Slot(*found)

        given = [top(item) for item in items]
        sizes = [self._encoder.size(item, persistent_id, name) for item in given]
        small = [place for place, size in enumerate(sizes) if size <= SMALL_ITEM]
        shared = self._encoder.arguments([given[n] for n in small], persistent_id, name)
        places = {place: (at, shared) for at, place in enumerate(small)}
        for place in range(len(given)):
            if place not in places:
                places[place] = (0, self._encoder.arguments([given[place]], persistent_id, name))
        return [places[place] for place in range(len(given))]

    def _walk(self, root: Any) -> None:
        stack = [self._open(root)]
        while stack:
            current = stack[-1]
            count = len(current.upstream)
            if current.next == count + len(current.watches):
                self._close(stack.pop())
                continue
            is_input, place = current.next < count, current.next
            below = current.upstream[place] if is_input else current.watches[place - count]
            current.next += 1
            if isinstance(below, TaskReference):
                self._check_reference(below)
            elif id(below) not in self._done:
                stack.append(self._open(below))

    def _check_reference(self, reference: TaskReference) -> None:
        if self._args is not None:
            raise ValueError(
                f"The reference to task '{reference.task_id}' means something inside its own workflow "
                "only; use its value in a step there."
            )

    def _open(self, node: Any) -> _Open:
        call = nodes.call_of(node)
        upstream: list[Any] = []
        places: dict[int, int] = {}

        def position(child: Any) -> int:
            child = _without_input(child)
            if id(child) not in places:
                places[id(child)] = len(upstream)
                upstream.append(child)
            return places[id(child)]

        def replace(value: Any) -> Any:
            """At the top level an upstream output arrives as its value."""
            if is_plain(value):
                return value
            if nodes.is_input(value):
                value = nodes.input_value(value, self._args, self._kwargs)
            if nodes.is_node(value):
                return Slot("task", position(value))
            stored = self._encoder.object_ref(value)
            return value if stored is None else Slot("object", stored)

        def persistent_id(value: Any) -> Any:
            """Inside containers it arrives as an ObjectRef, or as a value where steps meet."""
            if nodes.is_input(value):
                return ("input", self._input(value))
            if nodes.is_node(value):
                is_value = nodes.is_step(node) and nodes.is_step(value)
                return ("value" if is_value else "task", position(value))
            stored = self._encoder.object_ref(value)
            return None if stored is None else ("object", stored)

        top = (
            tuple(replace(a) for a in call.args),
            {key: replace(a) for key, a in call.kwargs.items()},
        )
        name = _name(call)
        stored = self._encoder.arguments(top, persistent_id, name)
        watches = [_without_input(watched) for watched in call.watches]
        return _Open(node, call, stored, upstream, watches)

    def _close(self, done: _Open) -> None:
        position = self._done[id(done.node)] = len(self._nodes)
        if (final := done.call.options.get("finally_")) is not None:
            self._finals.append((position, final))
        name, code, options = self._shared(done.call)
        self._nodes.append(
            Node(
                name,
                code,
                done.args,
                self._places(done.upstream),
                options,
                done.call.options.get("metadata") or {},
                self._owner,
                self._places(done.watches),
                method=done.call.options.get("method"),
            )
        )

    def _places(self, below: Iterable[Any]) -> tuple[int | str, ...]:
        return tuple(
            b.task_id if isinstance(b, TaskReference) else self._done[id(b)] for b in below
        )

    def _shared(self, call: Call) -> tuple[str, str, TaskOptions]:
        """Name, code and options of a call. Thousands of calls have the same, which are made once."""
        chosen = {k: v for k, v in call.options.items() if k not in ("finally_", "metadata")}
        key = (call.function, *call.ray_options.items(), "", *chosen.items())
        try:
            found = self._alike.get(key)
        except TypeError:  # an option that is no key of a dict
            return self._own(call)
        if found is None:
            found = self._alike[key] = self._own(call)
        return found

    def _own(self, call: Call) -> tuple[str, str, TaskOptions]:
        code = call.options.get("code") or self._encoder.function(call.function)
        return _name(call), code, self._options(call)

    def _options(self, call: Call) -> TaskOptions:
        ray_options = {k: v for k, v in call.ray_options.items() if v is not None}
        retry: Retry | None = call.options.get("retry")
        judge = _judge(retry, ray_options)
        max_retries = ray_options.pop("max_retries", 3)
        retry_exceptions = ray_options.pop("retry_exceptions", False)
        return TaskOptions(
            max_retries=max_retries,
            retry_exceptions=retry_exceptions is not False,
            catch_exceptions=call.options.get("catch_exceptions"),
            checkpoint=call.options.get("checkpoint"),
            ray=described(_name(call), ray_options),
            retry=retry.describe() if retry else None,
            effect=bool(call.options.get("effect")),
            judge=None if judge is None else self._encoder.function(judge),
            grace=call.options.get("grace"),
            timeout=call.options.get("timeout"),
            heartbeat_timeout=call.options.get("heartbeat_timeout"),
            expiry=_expiry(retry),
            wait=call.options.get("wait"),
            bundle=call.options.get("bundle") is not False,
        )

    def _input(self, node: Any) -> StoredValue:
        value = nodes.input_value(node, self._args, self._kwargs)
        return self._encoder.arguments(value, lambda _: None, "an input of the workflow")


def _without_input(node: Any) -> Any:
    """The DAG that a part of another workflow was created of."""
    if not isinstance(node, DagStep):
        return node
    if node.args or node.kwargs:
        raise TypeError(
            "A workflow made with workflow.create(dag, ...) for an InputNode cannot be a part of another; "
            "bind the values themselves, or return it from a step."
        )
    return node.dag


def _name(call: Call) -> str:
    chosen = call.options.get("task_id")
    return chosen or task_name(call.function.__module__, call.function.__qualname__)


def _judge(retry: Retry | None, ray_options: Mapping[str, Any]) -> Judge | None:
    """Who says which exceptions are worth another attempt, if not all or none of them are."""
    chosen = ray_options.get("retry_exceptions", False)
    if retry is not None:
        return retry.judge
    if isinstance(chosen, bool):
        return None
    check_error_types("retry_exceptions", chosen)
    return Judge(tuple(chosen))


def _expiry(retry: Retry | None) -> tuple[str, ...]:
    """The ways to run out of time that are worth another attempt."""
    kinds = {"timeout": TaskTimeoutError, "heartbeat": TaskHeartbeatError}
    errors = {name: kind("", "", 1, 0.0) for name, kind in kinds.items()}
    return tuple(n for n, error in errors.items() if retry is None or retry.judge(error))
