"""kill -9 in the middle of a chain that runs in one worker: no link runs again when the next one has begun."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.core.records import Kind
from rayflow.reader import open_root
from rayflow.storage import layout
from tests.crash.test_kills import engine_pid
from tests.waiting import PATIENCE, content, until

LINKS = 400


@ray.remote(max_retries=20)
def link(before: int, ledger: str) -> int:
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{before} {os.getpid()}\n".encode())
    os.close(descriptor)
    return before + 1


def chain(length: int, ledger: Path) -> Any:
    node = link.bind(0, str(ledger))
    for _ in range(length - 1):
        node = link.bind(node, str(ledger))
    return node


def lines(ledger: Path) -> list[tuple[int, int]]:
    """Which link has run in which process, in order."""
    rows = content(ledger).splitlines()
    return [(int(row.split()[0]), int(row.split()[1])) for row in rows]


def assert_no_link_ran_when_the_next_one_had_begun(ledger: Path) -> None:
    begun = -1
    for number, _ in lines(ledger):
        assert number >= begun, f"link {number} ran again after link {begun} had begun"
        begun = max(begun, number)
    assert begun == LINKS - 1


def warm(tmp_path: Path) -> None:
    """Let it be known how short the links are."""
    workflow.run(chain(40, tmp_path / "warm"))


def test_a_chain_has_one_worker_for_many_links(engine: str, tmp_path: Path) -> None:
    warm(tmp_path)
    assert workflow.run(chain(LINKS, tmp_path / "ledger"), workflow_id="quiet") == LINKS
    assert [number for number, _ in lines(tmp_path / "ledger")] == list(range(LINKS))
    records = open_root(engine).records("quiet", None).records
    assert [r.data["value"]["size"] > 0 for r in records if r.kind == Kind.SUCCEEDED] == [
        True
    ] * LINKS
    until(lambda: not (Path(engine) / layout.relays("quiet")).exists())


def test_the_worker_is_killed_and_the_chain_goes_on_behind_its_last_checkpoint(
    engine: str, tmp_path: Path
) -> None:
    warm(tmp_path)
    ledger = tmp_path / "ledger"
    ref = workflow.run_async(chain(LINKS, ledger), workflow_id="worker dies")
    for moment in (30, 120, 250):
        until(lambda moment=moment: len(lines(ledger)) > moment)  # type: ignore[misc]
        os.kill(lines(ledger)[-1][1], signal.SIGKILL)
    assert ray.get(ref, timeout=PATIENCE) == LINKS
    assert_no_link_ran_when_the_next_one_had_begun(ledger)


@pytest.mark.parametrize("moment", [10, 90, 300])
def test_the_engine_is_killed_and_the_next_one_adopts_what_the_worker_has_stored(
    own_engine: Callable[..., str], tmp_path: Path, moment: int
) -> None:
    root, ledger = own_engine(), tmp_path / "ledger"
    warm(tmp_path)
    ref = workflow.run_async(chain(LINKS, ledger), workflow_id="engine dies")
    until(lambda: len(lines(ledger)) > moment)
    os.kill(engine_pid(root), signal.SIGKILL)
    assert ray.get(ref, timeout=PATIENCE) == LINKS
    assert_no_link_ran_when_the_next_one_had_begun(ledger)


def test_a_chain_is_canceled_in_the_middle_and_ends_there(engine: str, tmp_path: Path) -> None:
    warm(tmp_path)
    ledger = tmp_path / "ledger"
    workflow.run_async(chain(4_000, ledger), workflow_id="ends early")
    until(lambda: len(lines(ledger)) > 100)
    workflow.cancel("ends early")
    count = len(lines(ledger))
    assert count < 4_000
    assert workflow.get_status("ends early") == workflow.CANCELED
    assert len(lines(ledger)) == count
    assert workflow.run(chain(3, tmp_path / "another")) == 3


def test_a_link_that_fails_is_tried_again_and_the_rest_follows(engine: str, tmp_path: Path) -> None:
    warm(tmp_path)
    ledger = tmp_path / "ledger"
    node = link.bind(0, str(ledger))
    for number in range(1, 60):
        step = breaks if number == 30 else link
        node = step.bind(node, str(ledger))
    assert workflow.run(node, workflow_id="breaks") == 60
    assert [number for number, _ in lines(ledger)] == [*range(30), 30, 30, *range(31, 60)]


@ray.remote(max_retries=3, retry_exceptions=True)
def breaks(before: int, ledger: str) -> int:
    has_run = any(number == before for number, _ in lines(Path(ledger)))
    value: int = link._function(before, ledger)
    if not has_run:
        raise ValueError("once")
    return value
