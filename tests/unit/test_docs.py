"""The documents say what is there: examples compile, names and tests exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _python_blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, block in enumerate(PYTHON.findall(page.read_text(encoding="utf-8"))):
            yield f"{page.relative_to(ROOT)}[{number}]", block


@pytest.mark.parametrize(("where", "code"), list(_python_blocks()), ids=lambda value: value[:40])
def test_every_python_example_compiles(where: str, code: str) -> None:
    compile(code, where, "exec")


def test_the_example_of_the_readme_has_about_twenty_lines() -> None:
    (block,) = PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len([line for line in block.splitlines() if line.strip()]) <= 20


def test_the_reference_has_every_public_name_and_every_error() -> None:
    from rayflow import workflow

    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(?:@workflow\.)?(\w+)", text))
    names = [name for name in workflow.__all__ if name not in ("exceptions",)]
    assert [name for name in names if name not in documented] == []
    assert "workflow.exceptions" in text


def test_every_row_of_the_guarantees_names_tests_that_exist() -> None:
    text = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
    table = text.split("| Proved by |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    for row in table.splitlines():
        named = TEST_NAME.findall(row.rsplit("|", 2)[1])
        assert named, f"no test proves this row: {row}"
        for path, name in named:
            assert name in _functions(ROOT / path), f"{path}::{name} does not exist"


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_decisions_are_listed_in_the_index() -> None:
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs/adr").glob("*.md")):
        assert f"adr/{path.name}" in index
        for heading in ("## Context", "## Decision", "## What is given up", "## How we would know"):
            assert heading in path.read_text(encoding="utf-8")
