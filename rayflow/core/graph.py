"""Graphs as they travel: a DAG translated to plain values, before its tasks have ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rayflow.core.compact import compact
from rayflow.core.ids import unused_id
from rayflow.core.records import Fact, Kind


@compact
@dataclass(frozen=True, slots=True)
class StoredValue:
    """Where an encoded value is: inline, or under a key of the storage.

    Attributes:
        format: how the bytes are to be read (``json``, ``pickle``, ``numpy``, ``arrow-table`` ...).
        size: length in bytes.
        crc: CRC-32 of the bytes.
        data: the bytes, if they are small enough to travel inline.
        key: the storage key, if they are not.
    """

    format: str
    size: int
    crc: int
    data: bytes | None = None
    key: str | None = None

    def describe(self) -> dict[str, Any]:
        """The JSON form that goes into a record (the bytes go into the record's ``value``)."""
        return {"format": self.format, "size": self.size, "crc": self.crc, "key": self.key}

    @classmethod
    def from_record(cls, described: Mapping[str, Any], data: bytes | None) -> StoredValue:
        """The inverse of :meth:`describe`."""
        key = described["key"]
        inline = None if key is not None else (data or b"")[: described["size"]]
        return cls(described["format"], described["size"], described["crc"], inline, key)


@compact
@dataclass(frozen=True, slots=True)
class TaskOptions:
    """What a user may set for one task. ``None`` means: inherit from the creating task.

    ``retry`` holds the numbers of a :class:`rayflow.retry.Retry`; ``judge`` is the digest of the stored
    code that says in the worker whether an exception is worth another attempt (None: every one).
    ``checkpoint``: whether the outcome is stored, and before (True) or while (``"async"``) consumers
    run. ``effect``: it does more than compute, so it never starts before its inputs are durable.
    ``expiry`` holds what it says of running out of time: the kinds that are worth another attempt.
    ``grace``, ``timeout`` and ``heartbeat_timeout`` are seconds. ``wait``: what the task waits for, if it
    has no body of the user (:mod:`rayflow.core.waits`). ``bundle``: attempts may share a worker with others
    (:mod:`rayflow.runtime.bundles`).
    """

    max_retries: int = 3
    retry_exceptions: bool = False
    catch_exceptions: bool | None = None
    checkpoint: bool | Literal["async"] | None = None
    ray: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] | None = None
    judge: str | None = None
    effect: bool = False
    grace: float | None = None
    timeout: float | None = None
    heartbeat_timeout: float | None = None
    expiry: tuple[str, ...] = ("timeout", "heartbeat")
    wait: dict[str, Any] | None = None
    bundle: bool = True

    def describe(self) -> dict[str, Any]:
        """The JSON form that goes into a record."""
        return {
            "max_retries": self.max_retries,
            "retry_exceptions": self.retry_exceptions,
            "catch_exceptions": self.catch_exceptions,
            "checkpoint": self.checkpoint,
            "ray": self.ray,
            "retry": self.retry,
            "judge": self.judge,
            "effect": self.effect,
            "grace": self.grace,
            "timeout": self.timeout,
            "heartbeat_timeout": self.heartbeat_timeout,
            "expiry": list(self.expiry),
            "wait": self.wait,
            **({} if self.bundle else {"bundle": False}),
        }


@compact
@dataclass(frozen=True, slots=True)
class Item:
    """Which item of a list a task is for.

    Attributes:
        of: the id of the task that has mapped the list.
        at: the position of the item among those that are stored together as the task's arguments.
        limit: how many items of the list may be under way at once; None is any number.
    """

    of: str
    at: int
    limit: int | None = None

    def describe(self) -> dict[str, Any]:
        """The JSON form that goes into a record."""
        return {"of": self.of, "at": self.at, "limit": self.limit}

    @classmethod
    def from_record(cls, described: Mapping[str, Any] | None) -> Item | None:
        """The inverse of :meth:`describe`; None of nothing."""
        if described is None:
            return None
        return cls(described["of"], described["at"], described.get("limit"))


@compact
@dataclass(frozen=True, slots=True)
class Node:
    """One task of a graph that has no id yet.

    ``upstream`` are positions in the same graph, or ids of tasks that the workflow has already.

    ``finally_of`` is the position of the task after whose workflow's end this one runs. ``watches`` are
    positions of tasks whose values it wants to see, without waiting for all of them. ``item`` is what it
    is for, if it is one of many that ``workflow.map`` has made. ``method``: of a virtual actor, that it calls.
    """

    name: str
    function: str
    args: StoredValue
    upstream: tuple[int | str, ...] = ()
    options: TaskOptions = field(default_factory=TaskOptions)
    metadata: dict[str, Any] = field(default_factory=dict)
    finally_of: int | None = None
    watches: tuple[int | str, ...] = ()
    item: Item | None = None
    method: str | None = None

    @property
    def known(self) -> Iterator[str]:
        """The ids of tasks that the workflow must have already."""
        return (u for u in (*self.upstream, *self.watches) if isinstance(u, str))


@dataclass(frozen=True, slots=True)
class Graph:
    """A DAG in dependency order: a node's upstream nodes come before it.

    The root comes last but for ``finals`` nodes at the end, which are those with a ``finally_of``.
    ``outer_first``: numbers of tasks with one name grow from the root down, as steps have it, and not
    from the dependencies up.
    """

    nodes: tuple[Node, ...]
    finals: int = 0
    outer_first: bool = False

    @property
    def root(self) -> int:
        """The position of the node whose value is that of the graph."""
        return len(self.nodes) - self.finals - 1


def task_facts(
    graph: Graph,
    tasks: Container[str],
    names: Mapping[str, int],
    *,
    parent: str | None = None,
    catch: bool | None = None,
    checkpoint: bool | Literal["async"] | None = None,
    finally_of: str | None = None,
    is_kept: bool = False,
    is_stored: bool = False,
    call_id: str | None = None,
) -> tuple[list[Fact], str]:
    """Give every node of ``graph`` an id and return its ``task`` facts and the root's id.

    Ids continue the workflow's numbering: dependencies get the smaller suffix, or the larger one with
    ``outer_first``. A number never makes the name of another node, so an id chosen by hand is that task's.
    The root inherits ``catch`` and every node ``checkpoint`` where it does not say otherwise
    (``ray-workflows`` 1.7 and 1.8). ``finally_of``: whose ``finally_`` task continues as this graph.

    ``finally_`` tasks and their inputs are stored in any case, since the end may come after a crash;
    with ``is_kept`` the root is such an input. ``is_stored``: all of them are, as those of an actor.
    With ``call_id`` the graph is a call of an actor, whose caller has given it this id.
    """
    kept = _kept(graph) | ({graph.root} if is_kept else set())
    ids = _new_ids(graph, tasks, names)
    facts, last = list[Fact](), graph.root
    described: dict[tuple[Any, ...], dict[str, Any]] = {}  # thousands of nodes share their options
    for position, node in enumerate(graph.nodes):
        owner = finally_of if node.finally_of is None else ids[node.finally_of]
        is_needed = owner is not None or position in kept
        alike = (id(node.options), position == last, is_needed)
        if alike not in described:
            inherited = (catch if position == last else None), checkpoint
            described[alike] = _described(
                node.options, *inherited, is_needed=is_needed, is_stored=is_stored
            )
        data = {
            "name": node.name,
            "function": node.function,
            "upstream": [u if isinstance(u, str) else ids[u] for u in node.upstream],
            "watches": [w if isinstance(w, str) else ids[w] for w in node.watches],
            # A ``finally_`` task is no part of what its creator continues as: its errors are its own.
            "parent": parent if node.finally_of is None else None,
            "finally_of": owner,
            "metadata": node.metadata,
            "options": described[alike],
            "args": node.args.describe(),
        }
        if node.item is not None:
            data["item"] = node.item.describe()
        if node.method is not None:
            data["method"] = node.method
        if call_id is not None:
            data["call"] = ids[last]
        facts.append(Fact(Kind.TASK, ids[position], None, data, node.args.data))
    if call_id is not None:
        facts[last].data["call_id"] = call_id
    return facts, ids[last]


def _described(
    options: TaskOptions,
    catch: bool | None,
    checkpoint: bool | Literal["async"] | None,
    *,
    is_needed: bool,
    is_stored: bool,
) -> dict[str, Any]:
    """The options of a task as they are recorded."""
    own = options.describe()
    own |= _inherited(own, catch, checkpoint)
    is_lost = own["checkpoint"] is False and is_needed
    if options.wait is not None or is_lost or is_stored:
        own["checkpoint"] = True  # what has come once does not come again
    return own


def _inherited(
    options: Mapping[str, Any], catch: bool | None, checkpoint: bool | Literal["async"] | None
) -> dict[str, Any]:
    """What a task takes from the one that creates it, where it does not say otherwise."""
    given = {"catch_exceptions": catch, "checkpoint": checkpoint}
    return {name: value for name, value in given.items() if options[name] is None}


def _kept(graph: Graph) -> set[int | str]:
    """The nodes whose values ``finally_`` nodes and watching ones need after a crash."""
    kept = {u for n in graph.nodes if n.finally_of is not None for u in n.upstream}
    return kept | {w for n in graph.nodes for w in n.watches}


def _new_ids(graph: Graph, tasks: Container[str], names: Mapping[str, int]) -> list[str]:
    """An id for every node, in the order of the nodes."""
    ids = [""] * len(graph.nodes)
    fresh: set[str] = set()
    chosen = {node.name for node in graph.nodes}
    counts: dict[str, int] = {}
    for position in _numbering(graph):
        name = graph.nodes[position].name
        used = counts.get(name, names.get(name, 0))
        task_id = unused_id(name, used, lambda c: c in fresh or c in tasks, chosen)
        counts[name] = used + 1
        fresh.add(task_id)
        ids[position] = task_id
    return ids


def _numbering(graph: Graph) -> Iterable[int]:
    """The positions in the order in which their tasks are numbered."""
    if not graph.outer_first:
        return range(len(graph.nodes))
    found: dict[int, None] = {graph.root: None}  # an ordered set, which grows while it is walked
    waiting = deque(found)
    while waiting:
        node = graph.nodes[waiting.popleft()]
        for below in (*node.upstream, *node.watches):
            if isinstance(below, int) and below not in found:
                found[below] = None
                waiting.append(below)
    return (*found, *(n for n in range(len(graph.nodes)) if n not in found))
