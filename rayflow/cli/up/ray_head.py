"""The local Ray head of an instance: its command line, its temporary folder, its memory. Nothing
here imports Ray.
"""

from __future__ import annotations

import hashlib
import os
import secrets
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


# SIGTERM ends the node at once: the engine's journal makes draining pointless, and it would hold
# up the stop.
HEAD_ENVIRONMENT = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}


def client_environment(data: DataFolder, *, port: int) -> dict[str, str]:
    """What every program needs to reach this head, the head itself and its workers included.

    Ray turns 127.0.0.1 into the machine's public address unless clusters are "not enabled", its
    name for staying on the loopback interface. And since other accounts of the machine
    can reach the loopback interface too, a token of this instance is asked of everyone.
    """
    return {
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_token_file(data)),
    }


def has_raylet(head: int) -> bool:
    """Whether the head with this process id still has its node.

    The node ends, as if somebody had asked it to, when one of its agents dies; Ray's own watch over the
    head takes that for a wish and leaves it running without a node.
    """
    try:
        process = psutil.Process(head)
        has_node = any(
            child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE
            for child in process.children()
        )
        # Who has been killed has no children either; that is for whoever waits for its end to say.
        return has_node or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True  # it has ended, or one of them is just ending: look again


def _token_file(data: DataFolder) -> Path:
    path = data.run / "ray-token"
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        unfinished.replace(path)
    return path
