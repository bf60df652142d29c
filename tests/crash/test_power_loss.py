"""A machine that loses its power: what the disk was not waited for is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import ray

from rayflow import workflow
from tests.engine.conftest import stop_engine
from tests.engine.test_management import wait_for
from tests.waiting import until


@ray.remote
def double(number: int) -> int:
    return 2 * number


def test_what_was_accepted_and_what_has_ended_is_there_after_a_power_failure(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, flag, started = own_engine(), tmp_path / "flag", tmp_path / "started"
    refs = [workflow.run_async(double.bind(n), workflow_id=f"w{n}") for n in range(20)]
    assert ray.get(refs) == [2 * n for n in range(20)]
    workflow.delete("w19")
    workflow.run_async(wait_for.bind(str(flag), str(started)), workflow_id="open")
    until(started.exists)
    stop_engine(root)

    shutil.rmtree(Path(root) / "workflows")  # young journals, written and not brought to disk
    flag.touch()
    workflow.init(root)
    statuses = dict(workflow.list_all())
    assert statuses == {**{f"w{n}": "SUCCESSFUL" for n in range(19)}, "open": "RESUMABLE"}
    assert [workflow.get_output(f"w{n}") for n in range(19)] == [2 * n for n in range(19)]
    assert ray.get(workflow.resume_async("open")) == "went on"
