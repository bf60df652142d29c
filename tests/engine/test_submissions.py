"""One id is one workflow, however often and from wherever it is submitted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from rayflow import api, workflow
from rayflow.errors import WorkflowExistsError
from tests.crash.ledger import executions, note

pytestmark = pytest.mark.usefixtures("engine")


@ray.remote
def noted(ledger: str, name: str) -> str:
    note(ledger, name)
    return name


def test_a_repeated_call_is_the_same_submission(tmp_path: Path) -> None:
    dag = noted.bind(str(tmp_path / "ledger"), "once")
    for _ in range(3):
        api.submit(dag, workflow_id="repeated", token="the same", must_be_new=True)

    assert workflow.get_output("repeated") == "once"
    api.submit(dag, workflow_id="repeated", token="the same", must_be_new=True)
    assert executions(tmp_path / "ledger") == {"once": 1}
    with pytest.raises(WorkflowExistsError, match="repeated"):
        api.submit(dag, workflow_id="repeated", must_be_new=True)


def test_many_submissions_of_one_id_at_once_are_one_workflow(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")

    def submit(number: int) -> str:
        try:
            return str(workflow.run(noted.bind(ledger, f"try-{number}"), workflow_id="contested"))
        except RuntimeError:
            return "refused"

    with ThreadPoolExecutor(12) as threads:
        answers = set(threads.map(submit, range(12)))

    (winner,) = answers - {"refused"}
    assert executions(tmp_path / "ledger") == {winner: 1}
    assert workflow.get_output("contested") == winner


def test_many_workflows_from_many_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    names = [f"name-{number}" for number in range(60)]

    with ThreadPoolExecutor(12) as threads:
        results = list(
            threads.map(lambda n: workflow.run(noted.bind(ledger, n), workflow_id=n), names)
        )

    assert results == names
    assert executions(tmp_path / "ledger") == dict.fromkeys(names, 1)
