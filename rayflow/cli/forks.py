"""`rayflow fork, rerun, plan, compare`: other workflows like one that has ended."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rayflow.cli import output
from rayflow.cli.client import Client, deadline_in, segment
from rayflow.cli.common import (
    HERE,
    DataDir,
    Id,
    Output,
    Reason,
    Timeout,
    Url,
    Wait,
    client_of,
    pairs,
    value,
)
from rayflow.cli.output import Format
from rayflow.cli.workflows import end_of

app = typer.Typer()

From = Annotated[
    list[str] | None,
    typer.Option(
        "--from", metavar="TASK", help="A task that runs again, with all that follows it."
    ),
]
NewId = Annotated[str | None, typer.Option("--id", help="The new id; made up if not given.")]
PLAN_SECONDS = 60.0


@app.command("fork")
def fork(
    workflow_id: Id,
    from_tasks: From = None,
    new_id: NewId = None,
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option(help="Only show what would run.")] = False,
    wait: Wait = False,
    timeout: Timeout = None,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Run a new workflow from the checkpoints of one that has ended."""
    client = client_of(url, data_dir)
    body: dict[str, Any] = {"from_tasks": from_tasks or [], "reason": reason, "dry_run": dry_run}
    if new_id is not None:
        body["workflow_id"] = new_id
    answer = client.post(f"workflows/{segment(workflow_id)}/actions/fork/", body)
    if dry_run:
        _show_plan(client, answer["operation"], form)
    else:
        _started(client, answer, wait, timeout, form)


@app.command("rerun")
def rerun(
    workflow_id: Id,
    param: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="NAME=VALUE", help="Another value; JSON, or a text."),
    ] = None,
    new_id: NewId = None,
    wait: Wait = False,
    timeout: Timeout = None,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Launch a workflow's definition with its parameters once more; nothing is reused."""
    client = client_of(url, data_dir)
    body: dict[str, Any] = {"params": {name: value(text) for name, text in pairs(param)}}
    if new_id is not None:
        body["workflow_id"] = new_id
    answer = client.post(f"workflows/{segment(workflow_id)}/actions/rerun/", body)
    _started(client, answer, wait, timeout, form)


@app.command("plan")
def plan(
    workflow_id: Id, form: Output = Format.table, url: Url = None, data_dir: DataDir = HERE
) -> None:
    """Show what a resume of a workflow would run, and what it would keep; nothing runs."""
    client = client_of(url, data_dir)
    path = f"workflows/{segment(workflow_id)}/actions/resume/"
    _show_plan(client, client.post(path, {"dry_run": True})["operation"], form)


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(metavar="ID", help="One workflow.")],
    b: Annotated[str, typer.Argument(metavar="ID", help="The other one.")],
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Show what differs between two workflows."""
    found = client_of(url, data_dir).get("compare/", a=a, b=b)
    if form is not Format.table:
        output.show_one(found, form, key="a")
        return
    rows = [
        {"what": f"params{d['pointer']}", "a": d["a"], "b": d["b"]} for d in found["params"] or ()
    ]
    rows.insert(0, {"what": "status", "a": found["a"]["status"], "b": found["b"]["status"]})
    for group in found["task_groups"]:
        sides = {side: _side(group[side]) for side in ("a", "b")}
        rows.append({"what": group["name"], **sides})
    output.show(rows, ("what", "a", "b"), form, key="what")


def _side(group: dict[str, Any] | None) -> str | None:
    if group is None:
        return None
    took = "" if group["p50_ms"] is None else f", median {group['p50_ms']} ms"
    return f"{group['successful']} of {group['total']}{took}"


def _show_plan(client: Client, operation: dict[str, Any], form: Format) -> None:
    done = client.finished(operation, deadline_in(PLAN_SECONDS))
    found: dict[str, Any] = done["result"]
    if form is not Format.table:
        output.show_one(found, form, key="run")
        return
    rows = [
        {"what": part, "task": task} for part in ("run", "reuse") for task in found[part]["items"]
    ]
    rows += [{"what": "blocked", "task": why} for why in found["blocked"]["items"]]
    output.show(rows, ("what", "task"), form, key="task")
    cut = [f"{found[part]['count']} {part}" for part in found if found[part]["truncated"]]
    if cut:
        output.note(f"in all: {', '.join(cut)}")


def _started(
    client: Client, answer: dict[str, Any], wait: bool, timeout: float | None, form: Format
) -> None:
    until = deadline_in(timeout)
    if not wait:
        output.show_one(answer["workflow"], form, key="workflow_id")
        return
    client.finished(answer["operation"], until)
    end_of(client, answer["workflow"]["workflow_id"], until, form)
