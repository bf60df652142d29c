"""Values of workflows that are not to be stored (``checkpoint=False``)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import ray

from rayflow import workflow
from tests.crash.ledger import executions, note
from tests.crash.test_kills import engine_pid
from tests.waiting import until

NOT_STORED = workflow.options(checkpoint=False)


@ray.remote
def count(ledger: str, name: str) -> int:
    note(Path(ledger), name)
    return executions(Path(ledger))[name]


def test_who_starts_a_workflow_gets_its_value_although_that_is_not_stored(
    engine: str, tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger")
    refs = []
    for n in range(30):
        dag = count.options(**NOT_STORED).bind(ledger, f"quick-{n}")
        refs.append(workflow.run_async(dag, workflow_id=f"fleeting-{n}"))
    for n in range(30):
        until(lambda n=n: workflow.get_status(f"fleeting-{n}") == workflow.SUCCESSFUL)
    assert ray.get(refs) == [1] * 30
    # Asking for it later runs nothing; resuming does what is needed.
    assert workflow.resume("fleeting-0") in (1, 2)
    assert executions(Path(ledger))["quick-1"] == 1


def test_a_value_that_is_gone_with_the_engine_is_computed_again_on_resume(
    own_engine: Callable[..., str], tmp_path: Path
) -> None:
    root, ledger = own_engine(), str(tmp_path / "ledger")
    dag = count.options(**NOT_STORED).bind(ledger, "body")
    assert workflow.run(dag, workflow_id="gone") == 1
    killed = engine_pid(root)
    os.kill(killed, signal.SIGKILL)
    until(lambda: engine_pid(root) != killed)
    assert workflow.get_status("gone") == workflow.SUCCESSFUL
    assert workflow.resume("gone") == 2
    assert workflow.run(dag, workflow_id="gone") in (2, 3)
