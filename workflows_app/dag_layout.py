"""Coordinates for every task of a DAG, however large: pure, O(sweeps · (V + E)), no recursion.

Edges lead from left to right: a task stands in the layer behind the last of its sources. A layer with
very many tasks is folded into columns, and a long chain of layers into rows, so that a fan-out of 50,000
and a chain of 5,000 both fill an area and not a line.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from workflows_app.dag import Dag

SWEEPS = 4
# Tasks on top of each other before a layer is folded, and columns beside each other before a row ends.
TALLEST = 160
WIDEST = 240


@dataclass(frozen=True, slots=True)
class Places:
    """``xs[n]`` and ``ys[n]`` are where task ``n`` stands, in units of one task."""

    xs: array[float]
    ys: array[float]


def lay_out(dag: Dag) -> Places:
    """Place every task. Edges that close a circle (none do in a sound journal) decide nothing."""
    size = len(dag.ids)
    before: list[list[int]] = [[] for _ in range(size)]
    after: list[list[int]] = [[] for _ in range(size)]
    for a, b in dag.edges():
        if a != b:
            after[a].append(b)
            before[b].append(a)
    layers = _layers(before, after)
    _untangle(layers, before, after)
    return _fold(layers, size)


def _layers(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]) -> list[list[int]]:
    """Tasks by the longest way from a task that nothing feeds; what lies on a circle comes last."""
    missing = [len(sources) for sources in before]
    depth = [0] * len(before)
    ready = [at for at, count in enumerate(missing) if not count]
    done = 0
    while ready:
        at = ready.pop()
        done += 1
        for target in after[at]:
            depth[target] = max(depth[target], depth[at] + 1)
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    layers: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for at, layer in enumerate(depth):
        layers[layer].append(at)
    return layers


def _untangle(
    layers: list[list[int]], before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> None:
    """Put each task near the middle of its neighbours, sweeping to and fro."""
    place = [0.0] * len(before)

    def settle(layer: list[int]) -> None:
        middle = (len(layer) - 1) / 2
        for index, at in enumerate(layer):
            place[at] = index - middle

    for layer in layers:
        settle(layer)
    for sweep in range(SWEEPS):
        near = before if sweep % 2 == 0 else after
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = {
                at: sum(place[n] for n in near[at]) / len(near[at]) if near[at] else place[at]
                for at in layer
            }
            layer.sort(key=wanted.__getitem__)
            settle(layer)


def _fold(layers: Sequence[Sequence[int]], size: int) -> Places:
    xs, ys = array("f", bytes(4 * size)), array("f", bytes(4 * size))
    x = top = 0.0
    for row in _rows(layers):
        tallest = max((min(len(layer), TALLEST) for layer in row), default=0)
        x = 0.0
        for layer in row:
            columns = -(-len(layer) // TALLEST)
            tall = -(-len(layer) // max(1, columns))
            for index, at in enumerate(layer):
                column, line = divmod(index, tall)
                xs[at] = x + column * 0.6
                ys[at] = -(top + (tallest - tall) / 2 + line)
            x += 2 + (columns - 1) * 0.6
        top += tallest + 4
    return Places(xs, ys)


def _rows(layers: Sequence[Sequence[int]]) -> list[list[Sequence[int]]]:
    """Layers in rows of about the same width."""
    rows: list[list[Sequence[int]]] = []
    width = WIDEST + 1
    for layer in layers:
        if width > WIDEST:
            rows.append([])
            width = 0
        rows[-1].append(layer)
        width += 1 + len(layer) // TALLEST
    return rows


def pairs(dag: Dag) -> array[int]:
    """All edges as ``source, target, source, target, …``."""
    return array("i", chain.from_iterable(dag.edges()))
