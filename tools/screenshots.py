"""Puts the pictures that the documentation shows into ``docs/images/``; ``make screenshots`` calls it.

The browser tests take a picture of every page, see ``tests/browser/test_pages_look.py``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAKEN = ROOT / "test-results" / "pages"
SHOWN = ROOT / "docs" / "images"
# Name in the documentation, name of the picture.
PICTURES = {
    "list": "workflows",
    "detail": "running",
    "failure": "failed",
    "graph": "graph",
    "graph-all": "graph-all",
    "timeline": "timeline-all",
    "launch": "launch-form",
    "cluster": "cluster",
    "overview": "overview",
}


def main() -> int:
    missing = []
    for name, taken in PICTURES.items():
        for theme in ("light", "dark"):
            source = TAKEN / f"{taken}-{theme}-wide.png"
            if source.exists():
                shutil.copyfile(source, SHOWN / f"{name}-{theme}.png")
            else:
                missing.append(source.name)
    if missing:
        print(f"screenshots: not taken: {', '.join(missing)}", file=sys.stderr)
        return 1
    print(f"screenshots: {len(PICTURES)} pages in two themes are in {SHOWN.relative_to(ROOT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
