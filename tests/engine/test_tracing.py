"""The engine's log says for whose request it does something."""

from __future__ import annotations

from pathlib import Path

import ray
from ray._private.worker import global_worker

from rayflow import tracing, workflow
from tests.waiting import until


@ray.remote
def one() -> int:
    return 1


def test_the_log_names_the_request_and_the_workflow() -> None:
    with tracing.request("req-of-somebody"):
        assert workflow.run(one.bind(), workflow_id="asked-for") == 1
        workflow.delete("asked-for")
    assert workflow.run(one.bind(), workflow_id="not-traced") == 1
    said = [
        "submit of workflow 'asked-for' for request req-of-somebody",
        "delete of workflow 'asked-for' for request req-of-somebody",
    ]
    until(lambda: all(line in _engine_log() for line in said))
    assert "not-traced" not in _engine_log()


def _engine_log() -> str:
    folder = Path(global_worker.node.get_logs_dir_path())
    return "".join(path.read_text(errors="replace") for path in folder.glob("worker-*.err"))
