"""Fails when a lock names where a package was downloaded: locks carry names, versions and hashes
only.

Run by `make check`. An address in a lock binds everyone to the registry of whoever wrote it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LOCKS = ("requirements.lock", "requirements-test.lock", "package-lock.json")
ADDRESS = re.compile(r"https?://|git\+|file:|--(?:extra-)?index-url|--find-links")


def problems_of(path: Path) -> list[str]:
    """The lines of one lock that hold an address, or the fact that it is missing."""
    if not path.exists():
        return [f"{path.name}: missing"]
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        f"{path.name}:{number}: names an address: {line.strip()}"
        for number, line in enumerate(lines, start=1)
        if ADDRESS.search(line)
    ]


def main() -> int:
    """Print every problem; the exit status tells whether there was one."""
    root = Path(__file__).resolve().parent.parent
    found = [problem for name in LOCKS for problem in problems_of(root / name)]
    for problem in found:
        print(problem)
    if not found:
        print(f"Locks: {len(LOCKS)} files, no address in any.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
