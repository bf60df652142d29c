"""The local Ray head of an instance: its command line, its temporary folder, its memory. Nothing
here imports Ray.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import psutil

from rayflow.cli.errors import CommandError
from rayflow.cli.instance import Code, DataFolder

MIB = 1024 * 1024
# The kernel's limit for the path of a Unix socket is 107 characters; Ray puts up to 75 behind its
# folder.
LONGEST_TEMP_DIR = 32
READY_LINE = "Ray runtime started."


def temp_dir(data: DataFolder) -> Path:
    """The folder for Ray's sockets and logs: short, private, and a different one for each data
    folder.
    """
    digest = hashlib.sha256(str(data.path.resolve()).encode()).hexdigest()[:8]
    name = f"rayflow-{os.getuid()}-{digest}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if len(str(folder)) <= LONGEST_TEMP_DIR else Path("/tmp") / name


def fresh_temp_dir(data: DataFolder) -> Path:
    """Create the folder empty: what an earlier run left there serves nobody any more.

    Raises:
        CommandError: the folder belongs to someone else.
    """
    folder = temp_dir(data)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user")
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    except OSError as error:
        raise CommandError(
            f"cannot use {folder} for Ray's sockets ({error}); set TMPDIR to another folder"
        ) from error
    return folder


def object_store_bytes() -> int:
    """Memory for Ray's objects: a fifth of the machine's, but no more than half of what /dev/shm
    has free.
    """
    memory: int = psutil.virtual_memory().total
    wanted = min(memory // 5, 2048 * MIB)
    shared_memory = Path("/dev/shm")
    if shared_memory.exists():
        wanted = min(wanted, shutil.disk_usage(shared_memory).free // 2)
    return max(wanted, 80 * MIB)


def head_command(code: Code, *, port: int, folder: Path) -> tuple[str, ...]:
    """The command that runs a Ray head in the foreground, reachable from this machine only."""
    return code.module(
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        f"--port={port}",
        "--node-ip-address=127.0.0.1",
        f"--temp-dir={folder}",
        f"--object-store-memory={object_store_bytes()}",
        # Zero lets the kernel choose: instances side by side never ask for the same port.
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--dashboard-agent-listen-port=0",
        "--metrics-export-port=0",
        "--include-dashboard=false",
        # Neither the autoscaler nor the forwarding of worker output has a use on a fixed single
        # node.
        "--no-monitor",
        "--include-log-monitor=false",
        "--disable-usage-stats",
        "--log-style=record",
        "--log-color=false",
    )


# SIGTERM ends the node at once: the engine's journal makes draining pointless, and it would hold up
# the stop.
ENVIRONMENT = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
