"""`rayflow schedule …`: when definitions are launched by themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from rayflow.cli import output
from rayflow.cli.client import segment
from rayflow.cli.common import (
    HERE,
    DataDir,
    Output,
    Reason,
    Url,
    client_of,
    json_object,
    pairs,
    value,
)
from rayflow.cli.output import Format

app = typer.Typer(help="When definitions are launched by themselves.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule.")]
COLUMNS = ("name", "definition", "cron", "every_seconds", "timezone", "paused", "next_run_at")


@app.command("list")
def list_schedules(form: Output = Format.table, url: Url = None, data_dir: DataDir = HERE) -> None:
    """List schedules."""
    rows = client_of(url, data_dir).rows("schedules/", None)
    output.show(rows, COLUMNS, form, key="name")


@app.command("get")
def get(name: Name, form: Output = Format.table, url: Url = None, data_dir: DataDir = HERE) -> None:
    """Show one schedule."""
    found = client_of(url, data_dir).get(f"schedules/{segment(name)}/")
    output.show_one(found, form, key="name")


@app.command("create")
def create(
    name: Name,
    definition: Annotated[str, typer.Argument(help="The definition to launch.")],
    cron: Annotated[
        str, typer.Option(help="As '0 3 * * *': minute, hour, day, month, weekday.")
    ] = "",
    every: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="Instead of --cron.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="As Europe/Berlin.")] = "UTC",
    overlap: Annotated[str, typer.Option(help="skip, queue, cancel_other or allow.")] = "skip",
    param: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter; JSON, or a text."),
    ] = None,
    params: Annotated[str, typer.Option(help="All parameters as a JSON object.")] = "{}",
    dry_run: Annotated[bool, typer.Option(help="Only show the next times.")] = False,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Make a schedule."""
    body: dict[str, Any] = {
        "name": name,
        "definition": definition,
        "cron": cron,
        "every_seconds": every,
        "timezone": timezone,
        "overlap": overlap,
        "params": json_object(params) | {n: value(text) for n, text in pairs(param)},
        "dry_run": dry_run,
    }
    made = client_of(url, data_dir).post("schedules/", body)
    if dry_run:
        _times(made, form)
    else:
        output.show_one(made, form, key="name")


@app.command("preview")
def preview(
    name: Name,
    count: Annotated[int, typer.Option(min=1, max=100)] = 10,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Show the next times of a schedule."""
    _times(client_of(url, data_dir).get(f"schedules/{segment(name)}/preview/", count=count), form)


@app.command("runs")
def runs(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 20,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Show what has become of a schedule's times."""
    rows = client_of(url, data_dir).rows(f"schedules/{segment(name)}/runs/", limit)
    columns = ("due_at", "state", "origin", "workflow_id", "detail")
    output.show(rows, columns, form, key="workflow_id")


@app.command("pause")
def pause(name: Name, reason: Reason = "", url: Url = None, data_dir: DataDir = HERE) -> None:
    """Launch nothing by a schedule until it is unpaused."""
    client_of(url, data_dir).post(f"schedules/{segment(name)}/actions/pause/", {"reason": reason})


@app.command("unpause")
def unpause(name: Name, url: Url = None, data_dir: DataDir = HERE) -> None:
    """Let a schedule go on."""
    client_of(url, data_dir).post(f"schedules/{segment(name)}/actions/unpause/", {})


@app.command("trigger")
def trigger(
    name: Name, form: Output = Format.table, url: Url = None, data_dir: DataDir = HERE
) -> None:
    """Launch now what a schedule launches."""
    run = client_of(url, data_dir).post(f"schedules/{segment(name)}/actions/trigger/", {})
    output.show_one(run, form, key="workflow_id")


@app.command("backfill")
def backfill(
    name: Name,
    start: Annotated[datetime, typer.Argument(help="The first moment, in UTC.")],
    end: Annotated[datetime, typer.Argument(help="The moment after the last, in UTC.")],
    dry_run: Annotated[bool, typer.Option(help="Only show the times.")] = False,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Launch for times of a schedule that have passed without a run."""
    body = {"start": f"{start.isoformat()}Z", "end": f"{end.isoformat()}Z", "dry_run": dry_run}
    _times(client_of(url, data_dir).post(f"schedules/{segment(name)}/backfill/", body), form)


@app.command("delete")
def delete(name: Name, url: Url = None, data_dir: DataDir = HERE) -> None:
    """Forget a schedule; the workflows that it launched stay."""
    client_of(url, data_dir).delete(f"schedules/{segment(name)}/")


def _times(found: dict[str, Any], form: Format) -> None:
    rows = [
        {"time": time, "local": local}
        for time, local in zip(found["times"], found["local"], strict=True)
    ]
    output.show(rows, ("time", "local"), form, key="time")
