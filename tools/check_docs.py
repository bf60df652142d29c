"""Fails when the documents say something that is not there. Run by `make check`.

Checked: every relative link resolves; every `make X` and `rayflow X` that a code span or code block
names exists;
every RAYFLOW_* variable that the code reads is documented.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.core
import typer.main

from rayflow.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
CODE_FOLDERS = ("rayflow", "rayflow_web", "workflows_app", "examples")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?(make|rayflow)((?: [a-z][a-z-]*)+)")
VARIABLE = re.compile(r"\bRAYFLOW_[A-Z][A-Z_]*[A-Z]\b")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def documents() -> list[Path]:
    """The pages a reader sees."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Relative links of one page that lead nowhere."""
    for target in LINK.findall(FENCE.sub("", text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target) or target.startswith("#"):
            continue
        if not (path.parent / target.split("#")[0]).exists():
            yield f"{path.relative_to(ROOT)}: link to {target} leads nowhere"


def code_lines(text: str) -> Iterator[str]:
    """Every line of a fenced block and every code span."""
    for block in FENCE.findall(text):
        yield from block.splitlines()[1:-1]
    yield from SPAN.findall(FENCE.sub("", text))


def command_exists(words: list[str]) -> bool:
    """Whether `rayflow <words>` starts with a known command (and subcommand, where it has some)."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if not isinstance(command, typer.core.TyperGroup):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


def unknown_commands(path: Path, text: str, targets: set[str]) -> Iterator[str]:
    """Commands that one page tells the reader to run and that do not exist."""
    for line in code_lines(text):
        match = COMMAND.match(line)
        if match is None:
            continue
        program, words = match[1], match[2].split()
        known = words[0] in targets if program == "make" else command_exists(words)
        if not known:
            yield f"{path.relative_to(ROOT)}: no such command: {match[0].strip()}"


def undocumented_variables(pages: str) -> Iterator[str]:
    """Environment variables that the code reads and no page names."""
    seen: dict[str, Path] = {}
    for folder in CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in VARIABLE.findall(path.read_text(encoding="utf-8")):
                seen.setdefault(name, path)
    documented = set(VARIABLE.findall(pages))
    for name in sorted(seen.keys() - documented):
        yield f"{seen[name].relative_to(ROOT)}: {name} is in no page of README.md or docs/"


def main() -> int:
    """Print every problem; the exit status tells whether there was one."""
    targets = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    texts = {path: path.read_text(encoding="utf-8") for path in documents()}
    found = [problem for path, text in texts.items() for problem in broken_links(path, text)]
    for path, text in texts.items():
        found.extend(unknown_commands(path, text, targets))
    found.extend(undocumented_variables("\n".join(texts.values())))
    for problem in found:
        print(problem)
    if not found:
        print(f"Docs: {len(texts)} pages; links, commands and variables hold.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
