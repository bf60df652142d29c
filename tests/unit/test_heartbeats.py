"""The signs of life of a body: few of them travel, and the last one does."""

from __future__ import annotations

from typing import Any

import pytest

from rayflow.runtime.heartbeats import MAX_DETAIL_BYTES, Pulse
from tests.waiting import until


def test_many_beats_are_few_calls_and_the_last_details_arrive_without_another_beat() -> None:
    sent: list[Any] = []
    pulse = Pulse(sent.append, timeout=2.0)
    for number in range(10_000):
        pulse.beat({"row": number})

    until(lambda: sent[-1] == {"row": 9_999})
    assert sent[0] == {"row": 0}
    assert len(sent) < 100


def test_a_beat_without_details_keeps_the_last_ones() -> None:
    sent: list[Any] = []
    pulse = Pulse(sent.append, timeout=None)
    pulse.beat([1])
    pulse.beat(None)
    assert (pulse.details, sent) == ([1], [[1]])


def test_nothing_is_sent_after_the_end() -> None:
    sent: list[Any] = []
    pulse = Pulse(sent.append, timeout=3600)
    pulse.beat(1)
    pulse.beat(2)
    pulse.stop()
    assert sent == [1]


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({1, 2}, "plain JSON"),
        (float("nan"), "plain JSON"),
        ("x" * MAX_DETAIL_BYTES, str(MAX_DETAIL_BYTES)),
    ],
)
def test_details_that_cannot_be_kept_are_refused_at_once(details: Any, said: str) -> None:
    sent: list[Any] = []
    with pytest.raises(ValueError, match=said):
        Pulse(sent.append, timeout=None).beat(details)
    assert sent == []
