"""The same tests of the projection and the services on a real PostgreSQL server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import CHECKOUT
from tests.postgresql import postgresql
from tests.waiting import PATIENCE

FOLDER = Path(__file__).parent
SUITES = (
    "test_projection.py",
    "test_follower.py",
    "test_services.py",
    "test_bulk.py",
    "test_search.py",
    "test_queries.py",
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL server of this test."""
    with postgresql() as started:
        yield started.address


@pytest.mark.timeout(600)
def test_the_projection_and_the_services_work_on_postgresql(server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         *(str(FOLDER / suite) for suite in SUITES)],
        cwd=CHECKOUT,
        env={**os.environ, "DATABASE_URL": server},
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_registry_is_right_after_the_database_server_was_killed() -> None:
    command = [sys.executable, "-m", "tests.web.killed_database"]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.endswith("events after 3 kills, equal\n"), done.stdout + done.stderr
    assert "did not answer, trying again" in done.stderr
