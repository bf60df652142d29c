"""The checker of histories knows which ones are impossible."""

from __future__ import annotations

import pytest

from tests.crash.histories import Call, counter, is_linearizable, register

GOOD = [
    [Call(("incr", 1), 1, 0, 1), Call(("incr", 2), 3, 2, 3), Call(("get",), 3, 4, 5)],
    [Call(("incr", 1), 3, 0, 9), Call(("incr", 2), 2, 1, 8)],  # at once, in the other order
    [Call(("incr", 1), 1, 0, 9), Call(("get",), 0, 1, 2)],  # read before it happened
    [Call(("incr", 1), None, 0), Call(("get",), 1, 5, 6)],  # never answered, and happened
    [Call(("incr", 1), None, 0), Call(("get",), 0, 5, 6)],  # never answered, and did not
]
BAD = [
    [Call(("incr", 1), 1, 0, 1), Call(("incr", 1), 1, 2, 3)],  # a lost update
    [Call(("incr", 1), 1, 0, 1), Call(("get",), 0, 2, 3)],  # a stale read
    [Call(("incr", 1), 2, 0, 1), Call(("incr", 1), 1, 2, 3)],  # against the time
    [Call(("incr", 1), 2, 0, 1)],  # happened twice
    [Call(("get",), 1, 0, 1), Call(("incr", 1), 1, 2, 3)],  # read from the future
]


@pytest.mark.parametrize("history", GOOD)
def test_possible_histories_of_a_counter_are_accepted(history: list[Call]) -> None:
    assert is_linearizable(history, counter, 0)


@pytest.mark.parametrize("history", BAD)
def test_impossible_histories_of_a_counter_are_refused(history: list[Call]) -> None:
    assert not is_linearizable(history, counter, 0)


def test_a_register_has_what_was_written_last() -> None:
    writes = [Call(("write", 1), None, 0, 1), Call(("write", 2), None, 0, 2)]
    assert is_linearizable([*writes, Call(("get",), 1, 3, 4)], register, 0)
    assert is_linearizable([*writes, Call(("swap", 2, 5), True, 3, 4)], register, 0)
    assert not is_linearizable([*writes, Call(("get",), 0, 3, 4)], register, 0)
    swaps = [Call(("swap", 0, n), True, 0, 1) for n in (1, 2)]
    assert not is_linearizable(swaps, register, 0)
