"""What commands print: tables for people, JSON, lines of JSON or ids for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

STYLES = {
    "SUCCESSFUL": "green", "SUCCEEDED": "green", "FAILED": "red", "RESUMABLE": "yellow",
    "RUNNING": "blue", "CANCELED": "dim", "PENDING": "dim",
}  # fmt: skip


class Format(str, Enum):
    """How to print."""

    table = "table"
    json = "json"
    ndjson = "ndjson"
    ids = "ids"


def show(rows: Iterable[dict[str, Any]], columns: Sequence[str], form: Format, *, key: str) -> None:
    """Print rows.

    Args:
        columns: what a table shows of each row.
        key: what ``ids`` prints of it.
    """
    if form is Format.json:
        print(json.dumps(list(rows), indent=2))
    elif form is Format.table:
        _table(rows, columns)
    else:
        for row in rows:
            print(row[key] if form is Format.ids else json.dumps(row), flush=True)


def show_one(row: dict[str, Any], form: Format, *, key: str) -> None:
    """Print one thing with all it has."""
    if form is Format.ids:
        print(row[key])
    elif form is Format.table:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in row.items():
            table.add_row(Text(name, style="dim"), _cell(value))
        _console().print(table)
    else:
        print(json.dumps(row, indent=2 if form is Format.json else None))


def note(text: str) -> None:
    """Say something to whoever watches; programs read standard output."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A bar on standard error, shown to people only."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        bar.add_task(what, total=None)
        yield bar


def advance(bar: Progress, what: str, done: int, total: int) -> None:
    """Move the bar."""
    bar.update(bar.task_ids[0], description=what, completed=done, total=total or None)


def _table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.rpartition(".")[2].replace("_", " ").upper(), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(_picked(row, name)) for name in columns))
    _console().print(table)


def _picked(row: dict[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _cell(value: Any) -> Text:
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, dict | list):
        return Text(json.dumps(value))
    return Text(str(value), style=STYLES.get(str(value), ""))


def _console() -> Console:
    """Wide enough not to cut what a pipe reads."""
    return Console() if sys.stdout.isatty() else Console(width=200)
