"""A short chaos run; ``make chaos`` is the long one, with more kinds of kills."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.cluster import CHECKOUT


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engines", [1, 3])
def test_every_accepted_workflow_ends_right_whatever_is_killed(engines: int) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--short", "--minutes=0.3", "--workflows=28"]
    command.append(f"--engines={engines}")
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.splitlines()[-1]
    kinds = r"cluster \d+, driver \d+, engine \d+"  # how many depends on how quick the machine is
    assert re.search(rf"passed, seed \d+, 28 workflows, kills: {kinds}", summary), summary
