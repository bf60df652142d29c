"""Resuming what an engine has left behind, within limits, one by one and by itself."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from rayflow import api, workflow
from tests.engine.conftest import stop_engine
from tests.engine.test_management import one, wait_for
from tests.waiting import until


def interrupted(root: str, folder: Path, names: str) -> None:
    """Leave workflows RESUMABLE: all but the first had been waiting for their turn."""
    for name in names:
        dag = wait_for.bind(str(folder / "flag"), str(folder / f"started-{name}"))
        workflow.run_async(dag, workflow_id=name)
    until((folder / f"started-{names[0]}").exists)
    (folder / f"started-{names[0]}").unlink()
    stop_engine(root)


def damage(root: str, workflow_id: str) -> None:
    """Beyond what the redo log of the last engine can mend."""
    shutil.rmtree(Path(root) / "redo")
    (journal,) = Path(root).glob(f"workflows/*/{workflow_id}/journal/*.arrows")
    data = bytearray(journal.read_bytes())
    data[len(data) // 3] ^= 1
    journal.write_bytes(data)


def test_what_has_no_place_or_is_damaged_is_left_out_and_the_others_go_on(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root = own_engine(max_running_workflows=1)
    interrupted(root, tmp_path, "abcde")
    damage(root, "b")

    workflow.init(root, max_running_workflows=1, max_pending_workflows=1)
    listed = workflow.list_all(workflow.RESUMABLE)
    resumed = workflow.resume_all()

    assert [name for name, _ in listed] == list("abcde")
    assert [name for name, _ in resumed] == ["a", "c"]
    until((tmp_path / "started-a").exists)
    statuses = dict(workflow.list_all())
    assert (statuses["a"], statuses["c"]) == (workflow.RUNNING, workflow.PENDING)
    assert {statuses[name] for name in "bde"} == {workflow.RESUMABLE}
    with pytest.raises(queue.Full):
        workflow.resume("d")
    assert workflow.get_status("d") == workflow.RESUMABLE
    with pytest.raises(workflow.exceptions.WorkflowStillActiveError):
        workflow.delete("c")
    with pytest.raises(RuntimeError):
        workflow.run(one.bind(), workflow_id="c")
    workflow.delete("d")
    assert [name for name, _ in workflow.list_all()] == ["a", "c", "b", "e"]
    (tmp_path / "flag").touch()
    assert ray.get([ref for _, ref in resumed]) == ["went on"] * 2
    assert workflow.resume("e") == "went on"


@pytest.mark.parametrize("is_connected", [False, True])
def test_auto_resume_continues_what_there_is_room_for(
    own_engine: Callable[..., str], tmp_path: Path, is_connected: bool
) -> None:
    root = own_engine()
    interrupted(root, tmp_path, "xy")
    if is_connected:
        workflow.init(root)
        assert {status for _, status in workflow.list_all()} == {workflow.RESUMABLE}
    limits = {} if is_connected else {"max_running_workflows": 1, "max_pending_workflows": 0}
    workflow.init(root, auto_resume=True, **limits)
    until((tmp_path / "started-x").exists)
    left = workflow.RUNNING if is_connected else workflow.RESUMABLE
    assert workflow.get_status("y") == left
    (tmp_path / "flag").touch()
    assert workflow.get_output("x") == "went on"
    api.disconnect()


def test_unlimited_is_a_limit_that_can_differ(own_engine: Callable[..., str]) -> None:
    own_engine(max_running_workflows=3)
    with pytest.raises(ValueError, match="max_running_workflows=3"):
        workflow.init(max_running_workflows=-1)
    workflow.init(max_pending_workflows=-1)
    with pytest.raises(ValueError, match="max_pending_workflows=-1"):
        workflow.init(max_pending_workflows=3)
