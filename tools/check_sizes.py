"""Fails when a Python file or function grew past the project's hard limits. Run by `make check`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60


def tracked_python_files(root: Path) -> list[Path]:
    """Every Python file that git knows or would know, migrations left out: Django writes those."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = (root / line for line in listed.splitlines())
    return [path for path in paths if path.exists() and "migrations" not in path.parts]


def problems_of(path: Path) -> list[str]:
    """The limits that one file breaks, one line each."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    found = []
    if lines > MAX_FILE_LINES:
        found.append(f"{path}: {lines} lines, the limit is {MAX_FILE_LINES}; split it by idea")
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(
                    f"{path}:{node.lineno}: {node.name} has {length} lines, "
                    f"the limit is {MAX_FUNCTION_LINES}"
                )
    return found


def main() -> int:
    """Print every problem; the exit status tells whether there was one."""
    root = Path(__file__).resolve().parent.parent
    files = tracked_python_files(root)
    found = [problem for path in files for problem in problems_of(path)]
    for problem in found:
        print(problem)
    if not found:
        print(f"Sizes: {len(files)} Python files within the limits.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
