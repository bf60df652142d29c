"""Coordinates of a layered graph: pure, O(sweeps · (V + E)), no recursion.

Nodes are the task names of a workflow. An edge that would close a circle (a name that calls
itself through others) is drawn, but does not count when layers are assigned. An edge across
several layers gets a bend in each layer it crosses, so that it runs beside the boxes there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 188, 68
GAP_X, GAP_Y = 56, 28
BEND_HEIGHT = 2
BEND_GAP = 14
MARGIN = 16
SWEEPS = 6
# With more bends than this a drawing is a thicket anyway; its long edges go straight.
MOST_BENDS = 4_000

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


@dataclass(frozen=True, slots=True)
class _Bend:
    """Where a long edge passes through a layer."""

    edge: Edge
    layer: int


_Item = str | _Bend


def lay_out(names: Sequence[str], edges: Mapping[Edge, int]) -> Layout:
    """Place `names` in layers so that edges lead from left to right."""
    known = set(names)
    drawn = {edge: n for edge, n in edges.items() if edge[0] in known and edge[1] in known}
    forward = _without_circles(names, [edge for edge in drawn if edge[0] != edge[1]])
    layer_of = _layers(names, forward)
    chains = _chains(forward, layer_of)
    columns = _order(names, chains.values(), layer_of)
    corners, height = _place(columns)
    return Layout(
        boxes=tuple(Box(name, *corners[name]) for name in names),
        lines=tuple(
            Line(
                source, target, count, _path(chains.get((source, target)), corners, source, target)
            )
            for (source, target), count in drawn.items()
        ),
        width=2 * MARGIN + len(columns) * WIDTH + max(0, len(columns) - 1) * GAP_X,
        height=height,
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


def _chains(edges: Sequence[Edge], layer_of: Mapping[str, int]) -> dict[Edge, list[_Item]]:
    """Each edge as the items it visits, one per layer."""
    bends = sum(layer_of[target] - layer_of[source] - 1 for source, target in edges)
    chains: dict[Edge, list[_Item]] = {}
    for source, target in edges:
        crossed = range(layer_of[source] + 1, layer_of[target]) if bends <= MOST_BENDS else ()
        chains[source, target] = [
            source,
            *(_Bend((source, target), layer) for layer in crossed),
            target,
        ]
    return chains


def _order(
    names: Sequence[str], chains: Iterable[Sequence[_Item]], layer_of: Mapping[str, int]
) -> list[list[_Item]]:
    """Columns of items; a few sweeps put each one near its neighbours' middle."""
    columns: list[list[_Item]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for name in names:
        columns[layer_of[name]].append(name)
    before: dict[_Item, list[_Item]] = defaultdict(list)
    after: dict[_Item, list[_Item]] = defaultdict(list)
    for chain in chains:
        for item in chain[1:-1]:
            assert isinstance(item, _Bend)
            columns[item.layer].append(item)
        for left, right in pairwise(chain):
            before[right].append(left)
            after[left].append(right)
    for sweep in range(SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        position = _positions(columns)
        for column in columns if sweep % 2 == 0 else reversed(columns):
            middle = {item: _middle(item, neighbours, position) for item in column}
            column.sort(key=lambda item: middle[item])
            position.update(_positions([column]))
    return columns


def _middle(
    item: _Item, neighbours: Mapping[_Item, list[_Item]], position: Mapping[_Item, float]
) -> float:
    near = neighbours.get(item)
    return sum(position[other] for other in near) / len(near) if near else position[item]


def _positions(columns: Iterable[Sequence[_Item]]) -> dict[_Item, float]:
    return {
        item: index - (len(column) - 1) / 2
        for column in columns
        for index, item in enumerate(column)
    }


def _place(columns: Sequence[Sequence[_Item]]) -> tuple[dict[_Item, tuple[float, float]], float]:
    """The upper left corner of every item, columns centred, and the height of the drawing."""
    heights = [sum(_extent(item) for item in column) - GAP_Y for column in columns]
    tallest = max(heights, default=0.0)
    corners: dict[_Item, tuple[float, float]] = {}
    for number, column in enumerate(columns):
        x = float(MARGIN + number * (WIDTH + GAP_X))
        y = MARGIN + (tallest - heights[number]) / 2
        for item in column:
            corners[item] = (x, y)
            y += _extent(item)
    return corners, 2 * MARGIN + max(0.0, tallest)


def _extent(item: _Item) -> float:
    return BEND_HEIGHT + BEND_GAP if isinstance(item, _Bend) else HEIGHT + GAP_Y


def _path(
    chain: Sequence[_Item] | None,
    corners: Mapping[_Item, tuple[float, float]],
    source: str,
    target: str,
) -> str:
    """A smooth line from box to box; one that leads back goes around below."""
    (x1, y1), (x2, y2) = corners[source], corners[target]
    if source == target:
        return f"M{x1 + WIDTH / 2 - 18:g} {y1:g}c-6 -18 42 -18 36 0"
    if chain is None:
        below = max(y1, y2) + HEIGHT + GAP_Y / 2
        x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
        return f"M{x1:g} {y1:g}C{x1 + 40:g} {below:g} {x2 - 40:g} {below:g} {x2:g} {y2:g}"
    parts = [f"M{x1 + WIDTH:g} {y1 + HEIGHT / 2:g}"]
    for left, right in pairwise(chain):
        (xa, ya), (xb, yb) = _middle_of(left, corners), _middle_of(right, corners)
        bend = max(GAP_X / 2, (xb - xa - WIDTH) / 2)
        parts.append(f"C{xa + WIDTH + bend:g} {ya:g} {xb - bend:g} {yb:g} {xb:g} {yb:g}")
        if isinstance(right, _Bend):
            parts.append(f"H{xb + WIDTH:g}")
    return "".join(parts)


def _middle_of(item: _Item, corners: Mapping[_Item, tuple[float, float]]) -> tuple[float, float]:
    """The middle of an item's left side."""
    x, y = corners[item]
    return x, y + (BEND_HEIGHT if isinstance(item, _Bend) else HEIGHT) / 2
