"""RayFlow from a Ray Client (``ray://``) whose machine does not see the storage."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from tests.cluster import CHECKOUT
from tests.waiting import until

CHECKS = Path(__file__).with_name("ray_client_checks.py")


@pytest.fixture
def address(cluster: None) -> Iterator[str]:
    """A Ray Client server of this test's own, at the session's cluster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    head = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "ray.util.client.server", "--mode", "specific-server"]
    command += ["--address", head, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=_environment())
    try:
        until(lambda: _listens(port))
        yield f"ray://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def test_every_function_works_in_a_client_that_cannot_open_the_storage(
    address: str, tmp_path: Path
) -> None:
    environment = _environment(CHECKS_ADDRESS=address, CHECKS_ROOT=str(tmp_path / "root"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(CHECKS)]
    done = subprocess.run(
        command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


def _environment(**extra: str) -> dict[str, str]:
    kept = {
        k: v for k, v in os.environ.items() if k != "RAY_ADDRESS" and not k.startswith("RAYFLOW_")
    }
    return {**kept, "PYTHONPATH": CHECKOUT, **extra}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
