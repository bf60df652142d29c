"""`rayflow bulk` and `rayflow resume-all`: one verb for many workflows, previewed and then watched."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from rayflow.cli import output
from rayflow.cli.client import FAILED, TIMED_OUT, USAGE, Client, deadline_in
from rayflow.cli.common import HERE, DataDir, Output, Reason, Timeout, Url, Wait, client_of
from rayflow.cli.errors import CommandError
from rayflow.cli.output import Format

app = typer.Typer()

LOOK_SECONDS = 0.5
ENDED = ("SUCCEEDED", "PARTIAL", "FAILED", "ABORTED")

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and stop.")]


@app.command("bulk")
def bulk(
    action: Annotated[str, typer.Argument(help="resume, cancel or delete.")],
    query: Annotated[
        str, typer.Option("-q", "--query", help="Which, e.g. status:FAILED created:-7d.")
    ],
    reason: Reason = "",
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="Stop once so many have failed.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, max=1000, help="Workflows a second, at most.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=100, help="How many at a time, at most.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Resume, cancel or delete all workflows that a query finds."""
    client = client_of(url, data_dir)
    body = {"action": action, "selection": {"q": query}, "dry_run": True}
    pace = {"stop_after_failures": stop_after, "rate": rate, "concurrency": concurrency}
    more = {"reason": reason, **{name: value for name, value in pace.items() if value is not None}}
    _carry_out(client, body, more, dry_run=dry_run, yes=yes, form=form, wait=wait, timeout=timeout)


@app.command("resume-all")
def resume_all(
    include_failed: Annotated[
        bool, typer.Option("--include-failed", help="Also those whose own tasks have failed.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = None,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Resume every workflow that was interrupted."""
    client = client_of(url, data_dir)
    statuses = "[RESUMABLE,FAILED]" if include_failed else "RESUMABLE"
    body = {
        "action": "resume",
        "selection": {"q": f"status:{statuses}"},
        "include_failed": include_failed,
        "dry_run": True,
    }
    more = {"reason": reason or "resume-all"}
    _carry_out(client, body, more, dry_run=dry_run, yes=yes, form=form, wait=wait, timeout=timeout)


def _carry_out(
    client: Client, body: dict[str, Any], more: dict[str, Any], *, dry_run: bool, yes: bool,
    form: Format, wait: bool, timeout: float | None,
) -> None:  # fmt: skip
    preview = client.post("bulk-operations/", body)
    token = preview.pop("confirm_token")
    if dry_run:
        output.show_one(preview, form, key="matched")
        return
    if preview["matched"] == 0:
        output.note("no workflow matches; nothing was done")
        return
    if preview["needs_reason"] and not more["reason"]:
        raise CommandError(
            "give a --reason for so many workflows, or for a delete", exit_code=USAGE
        )
    question = f"{body['action']} {preview['eligible']} of {preview['matched']} workflows?"
    if not yes and not typer.confirm(question, err=True):
        raise CommandError("nothing was done", exit_code=USAGE)
    started = client.post("bulk-operations/", {"confirm_token": token, **more})
    if wait:
        started = _watched(client, started, deadline_in(timeout))
    output.show_one(started, form, key="id")
    if wait and started["failed"]:
        raise CommandError(f"{started['failed']} workflows have failed", exit_code=FAILED)


def _watched(client: Client, bulk: dict[str, Any], deadline: float | None) -> dict[str, Any]:
    with output.progress(bulk["action"]) as bar:
        while bulk["state"] not in ENDED:
            if deadline is not None and time.monotonic() > deadline:
                raise CommandError(
                    f"bulk operation {bulk['id']} is {bulk['state']}; it goes on",
                    exit_code=TIMED_OUT,
                )
            time.sleep(LOOK_SECONDS)
            bulk = client.get(f"bulk-operations/{bulk['id']}/")
            done = bulk["done"] + bulk["failed"] + bulk["skipped"]
            output.advance(bar, f"{bulk['action']} {bulk['state']}", done, bulk["total"])
    return bulk
