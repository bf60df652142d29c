"""Coordinates of a layered graph: pure, O(sweeps · (V + E)), no recursion.

Nodes are the task names of a workflow. An edge that would close a circle (a name that calls
itself through others) is drawn, but does not count when layers are assigned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 188, 68
GAP_X, GAP_Y = 56, 28
MARGIN = 16
SWEEPS = 4

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Box:
    """A node and the upper left corner of its rectangle."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """An edge, how many task-to-task edges it stands for, and its SVG path."""

    source: str
    target: str
    count: int
    path: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The drawing: boxes, lines and its size."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    width: float
    height: float


def lay_out(names: Sequence[str], edges: Mapping[Edge, int]) -> Layout:
    """Place `names` in layers so that edges lead from left to right."""
    known = set(names)
    drawn = {edge: n for edge, n in edges.items() if edge[0] in known and edge[1] in known}
    forward = _without_circles(names, [edge for edge in drawn if edge[0] != edge[1]])
    layer_of = _layers(names, forward)
    columns = _order(names, forward, layer_of)
    boxes = _place(columns)
    tallest = max((len(column) for column in columns), default=0)
    return Layout(
        boxes=tuple(boxes.values()),
        lines=tuple(
            Line(source, target, count, _path(boxes[source], boxes[target]))
            for (source, target), count in drawn.items()
        ),
        width=2 * MARGIN + len(columns) * WIDTH + max(0, len(columns) - 1) * GAP_X,
        height=2 * MARGIN + tallest * HEIGHT + max(0, tallest - 1) * GAP_Y,
    )


def _without_circles(names: Sequence[str], edges: Iterable[Edge]) -> list[Edge]:
    """The edges that remain when every edge back to an open ancestor is left out."""
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    kept: list[Edge] = []
    state: dict[str, int] = {}  # 1: on the way, 2: done
    for root in names:
        stack = [(root, iter(after[root]))] if root not in state else []
        if stack:
            state[root] = 1
        while stack:
            node, rest = stack[-1]
            child = next(rest, None)
            if child is None:
                state[node] = 2
                stack.pop()
            elif state.get(child) != 1:
                kept.append((node, child))
                if child not in state:
                    state[child] = 1
                    stack.append((child, iter(after[child])))
    return kept


def _layers(names: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """The longest way from a source to each node."""
    after: dict[str, list[str]] = defaultdict(list)
    missing = dict.fromkeys(names, 0)
    for source, target in edges:
        after[source].append(target)
        missing[target] += 1
    layer = dict.fromkeys(names, 0)
    ready = [name for name in names if not missing[name]]
    while ready:
        node = ready.pop()
        for child in after[node]:
            layer[child] = max(layer[child], layer[node] + 1)
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    return layer


def _order(
    names: Sequence[str], edges: Iterable[Edge], layer_of: Mapping[str, int]
) -> list[list[str]]:
    """Columns of names; a few sweeps put each node near its neighbours' middle."""
    columns: list[list[str]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for name in names:
        columns[layer_of[name]].append(name)
    before: dict[str, list[str]] = defaultdict(list)
    after: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        position = _positions(columns)
        for column in columns if sweep % 2 == 0 else reversed(columns):
            middle = {
                name: sum(position[other] for other in neighbours[name]) / len(neighbours[name])
                if neighbours[name]
                else position[name]
                for name in column
            }
            column.sort(key=lambda name: middle[name])
            position.update(_positions([column]))
    return columns


def _positions(columns: Iterable[Sequence[str]]) -> dict[str, float]:
    return {
        name: index - (len(column) - 1) / 2
        for column in columns
        for index, name in enumerate(column)
    }


def _place(columns: Sequence[Sequence[str]]) -> dict[str, Box]:
    tallest = max((len(column) for column in columns), default=0)
    boxes = {}
    for number, column in enumerate(columns):
        top = MARGIN + (tallest - len(column)) * (HEIGHT + GAP_Y) / 2
        for index, name in enumerate(column):
            x = MARGIN + number * (WIDTH + GAP_X)
            boxes[name] = Box(name, x, top + index * (HEIGHT + GAP_Y))
    return boxes


def _path(source: Box, target: Box) -> str:
    """A smooth line between two boxes; one that leads back goes around below."""
    x1, y1 = source.x + WIDTH, source.y + HEIGHT / 2
    x2, y2 = target.x, target.y + HEIGHT / 2
    if source.name == target.name:
        x, y = source.x + WIDTH / 2, source.y
        return f"M{x - 18:g} {y:g}c-6 -18 42 -18 36 0"
    if x2 <= x1:
        below = max(source.y, target.y) + HEIGHT + GAP_Y / 2
        return f"M{x1:g} {y1:g}C{x1 + 40:g} {below:g} {x2 - 40:g} {below:g} {x2:g} {y2:g}"
    bend = max(GAP_X / 2, (x2 - x1) / 2)
    return f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
