"""`rayflow logs`: what a task has printed, or is printing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from rayflow.cli import output
from rayflow.cli.client import NOT_FOUND, Client, segment
from rayflow.cli.common import HERE, DataDir, Id, Output, Url, client_of
from rayflow.cli.errors import CommandError
from rayflow.cli.output import Format

app = typer.Typer()

FOLLOW_SECONDS = 1.0
COLUMNS = ("time", "stream", "level", "text")


@app.command("logs")
def logs(
    workflow_id: Id,
    task_id: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="Default: all tasks.")
    ] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Default: the latest.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on while it runs.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="From the beginning, instead of the end.")
    ] = False,
    grep: Annotated[str | None, typer.Option(help="Only lines with this text.")] = None,
    level: Annotated[
        str | None, typer.Option(help="Only log records of this level or higher.")
    ] = None,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Show what tasks have printed: the end, or all of it."""
    client = client_of(url, data_dir)
    tasks = [client.get(f"{_place(workflow_id)}{segment(task_id)}/")] if task_id else None
    chosen = tasks or list(client.rows(_place(workflow_id), 1_000))
    wanted = {"grep": grep, "level": level}
    shown = 0
    for task in chosen:
        number = attempt or task["attempt"]
        if not number:
            continue
        path = f"{_place(workflow_id)}{segment(task['task_id'])}/attempts/{number}/logs/"
        try:
            for line in _lines(client, path, everything or follow, follow, wanted):
                _show(line, form, task["task_id"] if len(chosen) > 1 else None)
                shown += 1
        except CommandError as error:
            # Of several, one may have run in another workflow.
            if task_id is not None or error.exit_code != NOT_FOUND:
                raise
    if not shown:
        output.note("nothing has been printed")


def _place(workflow_id: str) -> str:
    return f"workflows/{segment(workflow_id)}/tasks/"


def _lines(
    client: Client, path: str, from_start: bool, follow: bool, wanted: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    is_search = any(wanted.values())
    offset = 0 if from_start or is_search else None
    while True:
        page = client.get(path, offset=offset, **wanted)
        yield from page["items"]
        is_forward = offset is not None
        offset = page["next_offset"]
        if not page["at_end"] and is_forward:
            continue
        if not (follow and page["running"]):
            return
        time.sleep(FOLLOW_SECONDS)


def _show(line: dict[str, Any], form: Format, task_id: str | None) -> None:
    if form is Format.table:
        head = f"{task_id}: " if task_id else ""
        level = f"{line['level']} " if line["level"] else ""
        sys.stdout.write(f"{line['time'][:23]}Z {head}{level}{line['text']}\n")
        sys.stdout.flush()
        return
    row = line if task_id is None else {"task_id": task_id, **line}
    output.show([row], COLUMNS, Format.ndjson, key="offset")
