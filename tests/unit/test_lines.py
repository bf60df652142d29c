"""Log lines: which records are told, and how boxes keep within bounds."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rayflow.core.records import Kind, Record
from rayflow.runtime import lines
from rayflow.runtime.lines import Lines, Narrator


def record(kind: Kind, task_id: str | None = None, **data: object) -> Record:
    return Record(1, 0.0, kind, task_id, 1 if task_id else None, dict(data))


def test_the_end_of_a_short_attempt_tells_of_its_start_too() -> None:
    told = Narrator("w").tell([record(Kind.SUCCEEDED, "t", started_at=1.0)])
    assert [text for _, text in told] == [
        "Task status [RUNNING]\t[w@t]",
        "Task status [SUCCESSFUL]\t[w@t]",
    ]


def test_a_start_is_told_once() -> None:
    narrator = Narrator("w")
    narrator.tell([record(Kind.STARTED, "t")])
    told = narrator.tell([record(Kind.SUCCEEDED, "t", started_at=1.0)])
    assert [text for _, text in told] == ["Task status [SUCCESSFUL]\t[w@t]"]


def test_a_failure_is_a_warning_with_its_reason() -> None:
    error = {"type": "ValueError", "message": "first\nsecond"}
    told = Narrator("w").tell([record(Kind.FAILED, "t", error=error, next="final")])
    assert told[-1] == (
        logging.WARNING,
        "Task status [FAILED] due to ValueError: first\t[w@t]",
    )


def test_a_job_is_told_from_its_creation_to_its_end() -> None:
    told = Narrator("w").tell(
        [
            record(Kind.ACCEPTED),
            record(Kind.STATUS, status="RUNNING"),
            record(Kind.STATUS, status="SUCCESSFUL"),
        ]
    )
    assert [text for _, text in told] == [
        'Workflow job created. [id="w"]',
        'Workflow job ended. [id="w", status=SUCCESSFUL]',
    ]


async def test_a_full_box_leaves_out_the_oldest_lines_and_counts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "KEPT", 3)
    boxes = Lines()
    boxes._boxes["a"] = lines._Box(lines=lines.deque(maxlen=3), live=1)
    boxes.say("a", [(logging.INFO, str(n)) for n in range(2)])
    boxes.say("a", [(logging.INFO, str(n)) for n in range(2, 5)])
    heard = await boxes.fetch("a", 0)
    assert ([text for _, text in heard.lines], heard.left_out) == (["2", "3", "4"], 2)


async def test_whoever_waits_is_answered_at_once_and_nobody_hears_another_ones_lines() -> None:
    boxes = Lines()
    waiting = asyncio.ensure_future(boxes.fetch("a", 60))
    await asyncio.sleep(0)
    boxes.opened("b")
    boxes.say("b", [(logging.INFO, "not for a")])
    boxes.opened("a")
    boxes.say("a", [(logging.INFO, "for a")])
    heard = await waiting
    assert ([text for _, text in heard.lines], heard.is_live) == (["for a"], True)


async def test_the_end_of_the_last_workflow_ends_the_waiting() -> None:
    boxes = Lines()
    boxes.opened("a")
    waiting = asyncio.ensure_future(boxes.fetch("a", 60))
    await asyncio.sleep(0)
    boxes.closed("a")
    assert not (await waiting).is_live
    assert not boxes._boxes


def test_a_listener_that_fetches_nothing_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = Lines()
    boxes.opened("dead")
    monkeypatch.setattr(lines, "FORGOTTEN_AFTER_SECONDS", -1.0)
    boxes.opened("other")
    boxes.say("dead", [(logging.INFO, "for nobody")])
    assert set(boxes._boxes) == {"other"}
