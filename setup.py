"""The one step of a build that pyproject.toml cannot describe: a wheel carries the console's files."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = ("templates", "static")
VENDORED = Path("static", "vendor")


class BuildWithConsole(build_py):
    """Put templates and static files, the browser libraries included, into the package ``rayflow_web``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        if not VENDORED.is_dir():
            raise SystemExit(f"{VENDORED} is missing, and a wheel carries it: run `make install`.")
        for folder in FOLDERS:
            target = Path(self.build_lib, "rayflow_web", folder)
            shutil.copytree(folder, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConsole})
