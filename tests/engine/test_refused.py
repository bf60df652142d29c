"""Submissions that are refused or ignored leave nothing behind in the storage."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from rayflow import workflow
from tests.engine.test_management import wait_for
from tests.waiting import until

LARGE = b"x" * 2**20


@ray.remote
def length(value: bytes, *more: Any) -> int:
    return len(value)


def files(root: str) -> set[Path]:
    """What belongs to workflows; code is stored once, and stays."""
    return {path for path in Path(root).glob("workflows/**/values/**/*") if path.is_file()}


def test_a_submission_that_is_refused_or_ignored_leaves_no_values(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, flag = own_engine(max_running_workflows=1, max_pending_workflows=0), tmp_path / "flag"
    assert workflow.run(length.bind(LARGE), workflow_id="done") == 2**20
    workflow.run_async(wait_for.bind(str(flag), str(tmp_path / "started")), workflow_id="runs")
    until((tmp_path / "started").exists)
    before = files(root)

    with pytest.raises(queue.Full):
        workflow.run(length.bind(LARGE, [ray.put(LARGE * 2)]))
    with pytest.raises(queue.Full):
        workflow.run(length.bind(LARGE), workflow_id="no place")
    with pytest.raises(RuntimeError, match="runs"):
        workflow.run(length.bind(LARGE), workflow_id="runs")
    with pytest.raises(TypeError):
        workflow.run(length.bind(length.bind(LARGE), (n for n in range(3))))
    workflow.cancel("runs")
    assert workflow.run(length.bind(LARGE * 3), workflow_id="done") == 2**20
    with pytest.raises(workflow.exceptions.WorkflowNotResumableError):
        workflow.run(length.bind(LARGE), workflow_id="runs")

    assert files(root) == before
