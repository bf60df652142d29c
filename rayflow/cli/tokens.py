"""`rayflow token`: asks the Django side of a local instance, in a process of its own, for API
tokens.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from rayflow.cli.errors import CommandError
from rayflow.cli.instance import Code, DataFolder, base_environment


def create(
    name: str, *, user: str, scope: str, data: DataFolder, networks: Sequence[str] = ()
) -> str:
    """Create an API token.

    Args:
        name: what the token is for.
        user: the account it acts for.
        scope: read, write or admin.
        data: the instance whose database gets it.
        networks: where it may be used from, like ``10.0.0.0/8``; anywhere if none.

    Returns:
        The token. It is stored as a digest only, so this is the one time it can be read.

    Raises:
        CommandError: there is no such instance, account or scope.
    """
    if not data.run.is_dir() and not os.environ.get("DATABASE_URL"):
        raise CommandError(
            f"there is no instance in {data.path}; "
            "start one with `rayflow up`, or name its --data-dir"
        )
    code = Code.of_this_process()
    asked = subprocess.run(
        code.manage(
            "create_token",
            name,
            "--user",
            user,
            "--scope",
            scope,
            *(f"--network={network}" for network in networks),
        ),
        env=base_environment(code, data),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        lines = [line for line in asked.stderr.splitlines() if line.strip()]
        raise CommandError(lines[-1].strip() if lines else "the token could not be created")
    return asked.stdout.strip()
