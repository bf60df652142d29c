"""What happens to a workflow is written by the program that submitted it, and by no other."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ray

from rayflow import api, workflow
from tests.cluster import CHECKOUT
from tests.waiting import until

PROGRAM = Path(__file__).with_name("lines_program.py")


@contextmanager
def driver(root: str, name: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """A program at the session's cluster that writes to ``log``."""
    head = ray.get_runtime_context().gcs_address
    kept = {
        k: v for k, v in os.environ.items() if k != "RAY_ADDRESS" and not k.startswith("RAYFLOW_")
    }
    with log.open("w") as file:
        program = subprocess.Popen(
            [sys.executable, str(PROGRAM), head, root, name],
            env={**kept, "PYTHONPATH": CHECKOUT},
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield program
    finally:
        program.kill()
        program.wait(30)


def test_two_programs_see_their_own_lines_and_the_prints_of_their_own_tasks(
    engine: str, tmp_path: Path
) -> None:
    logs = {name: tmp_path / f"{name}.log" for name in ("anna", "bert")}
    with driver(engine, "anna", logs["anna"]) as anna, driver(engine, "bert", logs["bert"]) as bert:
        for name, program in (("anna", anna), ("bert", bert)):
            expected = [f"printed by {name}", f"printed by child of {name}", "failed as planned"]
            until(lambda n=name, e=expected: all(x in logs[n].read_text() for x in e))  # type: ignore[misc]
            assert program.stdin is not None
            program.stdin.write("\n")
            program.stdin.close()
        assert (anna.wait(60), bert.wait(60)) == (0, 0)
    for name, other in (("anna", "bert"), ("bert", "anna")):
        written = logs[name].read_text()
        for line in (
            f'Workflow job created. [id="{name}"]',
            f"Task status [RUNNING]\t[{name}@shout]",
            f"Task status [SUCCESSFUL]\t[{name}@shout]",
            f'Workflow job created. [id="{name}-child"]',
            f"Task status [FAILED] due to ValueError: no {name}\t[{name}-failing@stumble]",
            # The very last lines, though the program ends as soon as it has the result.
            f"Task status [SUCCESSFUL]\t[{name}-last@last]",
        ):
            assert written.count(line) == 1, (line, written)
        assert other not in written


def test_levels_silence_the_lines(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    @ray.remote
    def quiet() -> None:
        pass

    def told(workflow_id: str) -> Callable[[], bool]:
        return lambda: f'ended. [id="{workflow_id}"' in caplog.text

    with caplog.at_level(logging.WARNING, "rayflow.workflow"):
        workflow.run(quiet.bind(), workflow_id="lines-silent")
        listener = api._connector.connect().listener
        until(lambda: listener._thread is None)  # it has fetched all there was
    with caplog.at_level(logging.INFO, "rayflow.workflow"):
        workflow.run(quiet.bind(), workflow_id="lines-loud")
        until(told("lines-loud"))
    assert "lines-silent" not in caplog.text
