"""What was submitted is what resumes: code and environment, on another cluster, without the sources."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import CHECKOUT
from tests.engine.pinned_programs import SECRET, TREE


def run_program(which: str, folder: Path) -> Any:
    """What the program prints as its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.pinned_programs", which, str(folder)],
        env={**os.environ, "PYTHONPATH": CHECKOUT},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert SECRET not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What four workflows give after their cluster is gone and their sources are, too."""
    folder = tmp_path_factory.mktemp("pinned")
    for name, text in TREE.items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    run_program("first", folder)
    shutil.rmtree(folder / "tree")
    for name in ("code", "missing", "one", "two"):
        (folder / f"{name}.go").touch()
    return run_program("second", folder)


def test_a_workflow_resumes_with_the_code_it_was_submitted_with(answers: Any) -> None:
    assert answers["code"] == [40, [42], True]


def test_a_missing_module_is_named_and_leaves_the_workflow_resumable(answers: Any) -> None:
    assert "module 'tool_of_first'" in answers["missing"]
    assert "CodeUnavailableError" in answers["missing"]
    assert answers["statuses"]["missing"] == "RESUMABLE"


def test_a_workflow_resumes_in_the_environment_it_was_submitted_in(answers: Any) -> None:
    assert answers["one"] == ["first", "data of the first", SECRET, 42]


def test_workflows_of_two_programs_have_the_environment_of_their_own_each(answers: Any) -> None:
    assert answers["two"] == ["second", "data of the second", None]
