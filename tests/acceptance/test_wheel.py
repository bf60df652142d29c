"""A built wheel is enough: the console's files are in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SOURCES = ("rayflow", "rayflow_web", "workflows_app", "templates", "static")
FILES = ("pyproject.toml", "setup.py", "README.md")
BUILD = "import setuptools.build_meta as backend; backend.build_wheel('wheel')"
LOOK = """
import django
django.setup()
from django.contrib.staticfiles import finders
from django.template.loader import get_template
print(get_template("base.html").origin.name)
print(finders.find("vendor/htmx.min.js"))
"""


def test_a_wheel_carries_the_pages_and_the_browser_libraries(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in SOURCES:
        shutil.copytree(CHECKOUT / name, source / name)
    for name in FILES:
        shutil.copy(CHECKOUT / name, source)
    subprocess.run([sys.executable, "-c", BUILD], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "wheel").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(installed)

    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "DJANGO_SETTINGS_MODULE": "rayflow_web.settings",
        "RAYFLOW_DATA_DIR": str(tmp_path / "data"),
    }
    seen = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert seen == [
        str(installed / "rayflow_web" / "templates" / "base.html"),
        str(installed / "rayflow_web" / "static" / "vendor" / "htmx.min.js"),
    ]
