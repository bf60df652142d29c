"""Where a local instance lives: its data folder, its code, and the environment all its parts share.

Only computes; writing folders and files is left to those who start something.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rayflow

EXAMPLES = ("examples.digits_training", "examples.code_census", "examples.trip_booking")
SETTINGS = "rayflow_web.settings"


@dataclass(frozen=True, slots=True)
class Code:
    """The RayFlow that is running: a checkout, or an installed wheel (then `checkout` is None)."""

    python: str
    checkout: Path | None

    @classmethod
    def of_this_process(cls) -> Code:
        """The code that this process was started from."""
        folder = Path(rayflow.__path__[0]).resolve().parent
        return cls(
            python=sys.executable, checkout=folder if (folder / "manage.py").exists() else None
        )

    def manage(self, *arguments: str) -> tuple[str, ...]:
        """The command line of a Django management command, for a checkout and for a wheel."""
        if self.checkout is not None:
            return (self.python, str(self.checkout / "manage.py"), *arguments)
        return (self.python, "-m", "django", *arguments)

    def module(self, name: str, *arguments: str) -> tuple[str, ...]:
        """The command line of a Python module run as a program."""
        return (self.python, "-m", name, *arguments)


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folder of one instance. Everything it keeps lies below `path`."""

    path: Path

    @classmethod
    def named(cls, folder: str | Path) -> DataFolder:
        """The data folder as an absolute path; parts may run in other folders."""
        return cls(path=Path(folder).expanduser().absolute())

    @property
    def logs(self) -> Path:
        """One log file per part."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """What describes the running instance: lock, ports, recorded processes, markers."""
        return self.path / "run"

    @property
    def password_file(self) -> Path:
        """Where the operator's first password is kept, mode 0600."""
        return self.path / "operator-password"


def base_environment(
    code: Code, data: DataFolder, outer: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment every part and every management command of an instance gets.

    Values given by the user win; the rest points into the data folder. The checkout comes first on
    PYTHONPATH,
    because Ray's workers inherit it and must find the workflow modules that the driver names.
    """
    given = dict(os.environ if outer is None else outer)
    environment = {
        "RAYFLOW_STORAGE": str(data.path / "storage"),
        **given,
        "RAYFLOW_DATA_DIR": str(data.path),
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "PYTHONUNBUFFERED": "1",
    }
    if code.checkout is not None:
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(code.checkout), *filter(None, [given.get("PYTHONPATH")])]
        )
        if (code.checkout / "examples").is_dir():
            environment.setdefault("RAYFLOW_FLOWS", ",".join(EXAMPLES))
    return environment
