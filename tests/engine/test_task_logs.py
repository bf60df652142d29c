"""What tasks print is kept with the workflow."""

from __future__ import annotations

import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from rayflow.reader import open_root
from tests.waiting import until


@ray.remote(max_retries=1, retry_exceptions=True)
def talks(flag: str) -> str:
    print("hello", "world")
    print("two\nlines", end="")
    sys.stderr.write("password=hunter2\n")
    logging.getLogger("mine").warning("careful: %d", 1)
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()
    if not Path(flag).exists():
        Path(flag).touch()
        raise RuntimeError("once")
    return "done"


@ray.remote
def waits(started: str, flag: str) -> None:
    print("first")
    Path(started).touch()
    until(Path(flag).exists, seconds=60)
    print("last")


@ray.remote
def silent() -> None:
    """Prints nothing."""


def options(task_id: str) -> Any:
    return workflow.options(task_id=task_id)


def lines(root: str, workflow_id: str, task_id: str, attempt: int = 1) -> list[dict[str, Any]]:
    log = open_root(root).log(workflow_id, task_id, attempt)
    return [json.loads(line) for line in log.lines(0, log.size())[1]]


def test_what_an_attempt_prints_and_logs_is_kept(engine: str, tmp_path: Path) -> None:
    dag = talks.options(**options("talks")).bind(str(tmp_path / "flag"))
    assert workflow.run(dag, workflow_id="talkative") == "done"
    for attempt in (1, 2):
        found = [(x["s"], x["l"], x["m"]) for x in lines(engine, "talkative", "talks", attempt)]
        assert sorted(found, key=str) == sorted(
            [
                ("out", None, "hello world"),
                ("out", None, "two"),
                ("err", None, "password=***"),
                ("log", "WARNING", "mine: careful: 1"),
                ("out", None, "linesfrom a thread"),
            ],
            key=str,
        )
    workflow.delete("talkative")
    assert open_root(engine).log("talkative", "talks", 1).size() == 0


def test_lines_are_there_while_the_task_runs(engine: str, tmp_path: Path) -> None:
    started, flag = tmp_path / "started", tmp_path / "flag"
    dag = waits.options(**options("waits")).bind(str(started), str(flag))
    ref = workflow.run_async(dag, workflow_id="slow")
    until(lambda: lines(engine, "slow", "waits"), seconds=30)
    assert [line["m"] for line in lines(engine, "slow", "waits")] == ["first"]
    flag.touch()
    ray.get(ref)
    assert [line["m"] for line in lines(engine, "slow", "waits")] == ["first", "last"]


def test_a_task_that_prints_nothing_leaves_nothing(engine: str) -> None:
    workflow.run(silent.options(**options("silent")).bind(), workflow_id="quiet")
    assert open_root(engine).log("quiet", "silent", 1).size() == 0
    with pytest.raises(KeyError):
        open_root(engine).log("quiet", "silent", 1).read(0, 10)
