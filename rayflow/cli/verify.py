"""`rayflow verify`: whether everything that a storage root refers to is there and whole."""

from __future__ import annotations

import json
import subprocess
from typing import Annotated, Any

import typer

from rayflow.cli import output
from rayflow.cli.client import USAGE
from rayflow.cli.common import HERE, DataDir, Output
from rayflow.cli.errors import CommandError
from rayflow.cli.instance import Code, DataFolder, base_environment
from rayflow.cli.output import Format

app = typer.Typer()

COLUMNS = ("workflow_id", "problem", "detail")


@app.command("verify")
def verify(
    storage: Annotated[
        str | None, typer.Option(help="A path or URI. Default: RAYFLOW_STORAGE, or the instance's.")
    ] = None,
    deep: Annotated[bool, typer.Option(help="Read values and compare their checksums.")] = False,
    rebuild_index: Annotated[
        bool, typer.Option("--rebuild-index", help="First make the index anew; no engine may run.")
    ] = False,
    form: Output = Format.table,
    data_dir: DataDir = HERE,
) -> None:
    """Look whether journals, values and the index of a storage are whole; exit status 1 if not."""
    code = Code.of_this_process()
    environment = base_environment(code, DataFolder.named(data_dir))
    options = [*(["--deep"] if deep else []), *(["--rebuild-index"] if rebuild_index else [])]
    root = storage or environment["RAYFLOW_STORAGE"]
    asked = subprocess.run(
        code.module("rayflow.verifying", root, *options),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in asked.stdout.splitlines()]
    if asked.returncode not in (0, 1) or not lines:
        said = [line for line in asked.stderr.splitlines() if line.strip()]
        raise CommandError(said[-1] if said else f"{root} cannot be read", exit_code=USAGE)
    findings, summary = lines[:-1], lines[-1]
    if "indexed" in summary:
        output.note(f"the index has {summary['indexed']} workflows now")
    if findings or form is not Format.table:
        output.show(findings, COLUMNS, form, key="workflow_id")
    if findings:
        raise CommandError(f"{len(findings)} problems in {summary['root']}")
    output.note(f"{summary['root']} is whole")
