"""Whether a history of calls could have happened one call after the other: linearizability.

After Wing and Gong, "Testing and verifying concurrent objects" (1993): try the calls that may come first,
remember where that led nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A call as its caller has seen it: ``asked`` what, ``value``, and its moments (seconds).

    One whose ``end`` is infinite has not been answered: it may have happened, or not.
    """

    asked: tuple[Any, ...]
    value: Any
    begin: float
    end: float = math.inf


Model = Callable[[Any, tuple[Any, ...]], tuple[Hashable, Any]]
"""The state after what is asked, and the value that it has, of the state before."""


def is_linearizable(history: Sequence[Call], model: Model, start: Hashable) -> bool:
    """Whether an order of the calls exists that agrees with their times and with the model."""
    calls = sorted(history, key=lambda call: call.begin)
    everything = (1 << len(calls)) - 1
    answered = sum(1 << n for n, call in enumerate(calls) if call.end != math.inf)
    stack: list[tuple[int, Hashable]] = [(0, start)]
    seen = set(stack)
    while stack:
        done, state = stack.pop()
        if done & answered == answered:
            return True
        for place in _first(calls, everything & ~done):
            after, value = model(state, calls[place].asked)
            known = calls[place].end == math.inf or value == calls[place].value
            step = (done | 1 << place, after)
            if known and step not in seen:
                seen.add(step)
                stack.append(step)
    return False


def _first(calls: Sequence[Call], left: int) -> list[int]:
    """Those of the calls that are left which no other has ended before."""
    places = [n for n in range(left.bit_length()) if left >> n & 1]
    soonest = min(calls[n].end for n in places)
    return [n for n in places if calls[n].begin <= soonest]


def counter(state: Any, asked: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """A number: ``("incr", n)`` adds to it and gives the sum, ``("get",)`` gives it."""
    total = state + asked[1] if asked[0] == "incr" else state
    return total, total


def register(state: Any, asked: tuple[Any, ...]) -> tuple[Hashable, Any]:
    """A value: ``("write", v)`` gives None, ``("swap", old, new)`` whether it was old, ``("get",)`` it."""
    if asked[0] == "write":
        return asked[1], None
    if asked[0] == "swap":
        return (asked[2], True) if state == asked[1] else (state, False)
    return state, state
