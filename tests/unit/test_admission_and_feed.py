"""Who may run, who waits, and who is told of what."""

from __future__ import annotations

import asyncio
import queue

import pytest

from rayflow.config import Limits
from rayflow.runtime import feed as feed_module
from rayflow.runtime.admission import Admission
from rayflow.runtime.feed import Changes, Feed


def test_without_limits_everything_runs() -> None:
    admission = Admission(Limits())
    assert all(admission.enter(f"w{n}") for n in range(1000))


def test_those_that_wait_are_promoted_in_the_order_of_their_arrival() -> None:
    admission = Admission(Limits(running=2, pending=3))
    assert [admission.enter(w) for w in "abcde"] == [True, True, False, False, False]
    with pytest.raises(queue.Full, match="Workflow queue has been full"):
        admission.enter("f")
    admission.leave("d")  # cancelled while it waited
    assert list(admission.promoted()) == []
    admission.leave("a")
    assert list(admission.promoted()) == ["c"]
    admission.leave("b")
    admission.leave("c")
    assert list(admission.promoted()) == ["e"]


def test_nobody_overtakes_those_that_wait() -> None:
    admission = Admission(Limits(running=1, pending=None))
    admission.enter("a")
    admission.enter("b")
    admission.leave("a")
    assert not admission.enter("c")
    assert list(admission.promoted()) == ["b"]


def test_no_pending_means_no_queue() -> None:
    admission = Admission(Limits(running=1, pending=0))
    assert admission.enter("a")
    with pytest.raises(queue.Full):
        admission.enter("b")
    admission.leave("a")
    assert admission.enter("b")


def test_leaving_twice_frees_one_slot() -> None:
    admission = Admission(Limits(running=1, pending=5))
    for workflow_id in "abc":
        admission.enter(workflow_id)
    admission.leave("a")
    admission.leave("a")
    assert list(admission.promoted()) == ["b"]


async def start(feed: Feed) -> str:
    changes = await feed.changes(None, 0)
    assert (changes.reset, changes.workflow_ids) == (True, [])
    return changes.cursor


async def test_a_reader_gets_each_changed_workflow_once_in_order() -> None:
    feed = Feed()
    cursor = await start(feed)
    for workflow_id in "abcab":
        feed.ring(workflow_id)
    changes = await feed.changes(cursor, 0)
    assert (changes.reset, changes.workflow_ids) == (False, ["c", "a", "b"])
    assert (await feed.changes(changes.cursor, 0)).workflow_ids == []
    feed.ring("c")
    assert (await feed.changes(changes.cursor, 0)).workflow_ids == ["c"]


@pytest.mark.parametrize("cursor", [None, "", "another engine:5", "nonsense"])
async def test_a_cursor_of_somebody_else_is_a_reset(cursor: str | None) -> None:
    feed = Feed()
    feed.ring("a")
    changes = await feed.changes(cursor, 0)
    assert changes.reset
    assert not (await feed.changes(changes.cursor, 0)).reset


async def test_the_memory_is_bounded_and_who_missed_something_is_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed_module, "KEPT", 10)
    feed = Feed()
    old = await start(feed)
    for number in range(10):
        feed.ring(f"w{number}")
    assert len((await feed.changes(old, 0)).workflow_ids) == 10
    feed.ring("w10")
    assert (await feed.changes(old, 0)).reset
    recent = (await feed.changes(old, 0)).cursor
    feed.ring("w11")
    assert (await feed.changes(recent, 0)).workflow_ids == ["w11"]
    assert len(feed._changed) == 10


async def test_every_waiting_reader_is_woken_by_a_change() -> None:
    feed = Feed()
    cursor = await start(feed)
    readers = [asyncio.ensure_future(feed.changes(cursor, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    feed.ring("a")
    found = await asyncio.wait_for(asyncio.gather(*readers), 10)
    assert [changes.workflow_ids for changes in found] == [["a"]] * 3


async def test_a_change_in_the_moment_a_wait_ends_is_not_missed() -> None:
    feed = Feed()
    cursor = await start(feed)

    async def ring() -> None:
        feed.ring("a")

    first, _ = await asyncio.gather(feed.changes(cursor, 0), ring())
    assert isinstance(first, Changes)
    second = await feed.changes(first.cursor, 0)
    assert first.workflow_ids + second.workflow_ids == ["a"]
