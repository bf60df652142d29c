"""Options and arguments that several commands have, and how ids and values are read from them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rayflow.cli.client import USAGE, Client, connect
from rayflow.cli.errors import CommandError
from rayflow.cli.instance import DataFolder
from rayflow.cli.output import Format

Url = Annotated[str | None, typer.Option("--url", envvar="RAYFLOW_URL", help="The server.")]
DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="RAYFLOW_DATA_DIR", help="The local instance.")
]
Output = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when it has ended.")]
Timeout = Annotated[
    float | None, typer.Option(min=0, help="With --wait: seconds at most, then exit status 6.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="The workflow id.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Workflow ids; - reads them.")
]
Query = Annotated[
    str | None, typer.Option("-q", "--query", help="As in the list, e.g. status:FAILED.")
]
Reason = Annotated[str, typer.Option(help="Kept in the audit log.")]
HERE = Path(".rayflow")


def client_of(url: str | None, data_dir: Path) -> Client:
    """The server that the options name.

    Raises:
        CommandError: no token, or no instance.
    """
    return connect(url, DataFolder.named(data_dir))


def chosen(ids: list[str] | None) -> list[str]:
    """The ids of the command line, or of standard input, each once.

    Raises:
        CommandError: there is none.
    """
    if ids == ["-"]:
        ids = sys.stdin.read().split()
    if not ids:
        raise CommandError("name at least one workflow id, or - to read them", exit_code=USAGE)
    return list(dict.fromkeys(ids))


def pairs(given: list[str] | None) -> list[tuple[str, str]]:
    """NAME=VALUE, split.

    Raises:
        CommandError: one is something else.
    """
    found = []
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise CommandError(f"{text!r} is not NAME=VALUE", exit_code=USAGE)
        found.append((name, value))
    return found


def value(text: str) -> Any:
    """JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def json_value(text: str) -> Any:
    """JSON.

    Raises:
        CommandError: it is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{text!r:.100} is no JSON: {error}", exit_code=USAGE) from error


def json_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CommandError: it is none.
    """
    found = json_value(text)
    if not isinstance(found, dict):
        raise CommandError(f"{text!r:.100} is no JSON object", exit_code=USAGE)
    return found
