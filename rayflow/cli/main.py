"""The `rayflow` program: its commands, their options, and how an error becomes one line and an exit
status.
"""

from __future__ import annotations

import importlib.metadata
import sys
from enum import Enum
from typing import Annotated, Any

import typer
import typer.core

from rayflow.cli import (
    bulk,
    doctor,
    forks,
    logs,
    schedules,
    tokens,
    verify,
    workflows,
)
from rayflow.cli.common import HERE, DataDir
from rayflow.cli.errors import CommandError
from rayflow.cli.instance import DataFolder
from rayflow.cli.up import command as up_command


class Commands(typer.core.TyperGroup):
    """The commands, with our own errors shown as one line on stderr instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            print(f"rayflow: {error.message}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    name="rayflow",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="Tokens for programs that use the REST API.", no_args_is_help=True)
app.add_typer(token_app, name="token")
for commands in (workflows, forks, logs, bulk, doctor, verify):
    app.add_typer(commands.app)
app.add_typer(schedules.app, name="schedule")


class Scope(str, Enum):
    """What a token may do."""

    read = "read"
    write = "write"
    admin = "admin"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rayflow {importlib.metadata.version('rayflow')}")
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Durable workflows on Ray."""


@app.command()
def up(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port of the console on 127.0.0.1.")
    ] = 8000,
    data_dir: DataDir = HERE,
    examples: Annotated[
        bool,
        typer.Option("--examples/--no-examples", help="Launch the examples at the first start."),
    ] = True,
) -> None:
    """Start a whole instance on this machine and keep it running until Ctrl-C."""
    up_command.run(
        up_command.Options(data=DataFolder.named(data_dir), port=port, examples=examples)
    )


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    user: Annotated[str, typer.Option(help="The account the token acts for.")] = "operator",
    scope: Annotated[Scope, typer.Option(help="What the token may do.")] = Scope.write,
    network: Annotated[
        list[str] | None,
        typer.Option(help="Where it may be used from, like 10.0.0.0/8; may be repeated."),
    ] = None,
    data_dir: DataDir = HERE,
) -> None:
    """Create a token and print it, and nothing else. It is not shown again."""
    data = DataFolder.named(data_dir)
    print(tokens.create(name, user=user, scope=scope.value, data=data, networks=network or ()))
