"""Import rules that only show when a program runs, or that name whole groups of packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.split(".")[0])
    return found


def test_the_core_imports_the_standard_library_and_itself_alone() -> None:
    allowed = sys.stdlib_module_names | {"rayflow"}
    foreign = {
        path.name: packages - allowed
        for path in (ROOT / "rayflow" / "core").rglob("*.py")
        if (packages := imported_packages(path)) - allowed
    }
    assert foreign == {}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("rayflow_web.asgi", ("ray", "pyarrow", "rayflow")),
        ("rayflow.cli.main", ("ray", "pyarrow", "django")),
        ("rayflow.reader", ("ray", "django")),
        ("rayflow", ("ray", "django")),
    ],
)
def test_a_process_loads_only_what_it_may(
    module: str, never: tuple[str, ...], tmp_path: Path
) -> None:
    program = (
        f"import {module}, sys; "
        f"found = [name for name in {never!r} if name in sys.modules]; "
        "sys.exit(', '.join(found) or 0)"
    )
    environment = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "rayflow_web.settings",
        "RAYFLOW_DATA_DIR": str(tmp_path),
    }
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
