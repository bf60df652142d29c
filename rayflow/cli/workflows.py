"""`rayflow run, list, get, …`: workflows over the REST API, of a local instance or any server."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from rayflow.cli import output
from rayflow.cli.client import FAILED, Client, deadline_in, segment
from rayflow.cli.common import (
    HERE,
    DataDir,
    Id,
    Ids,
    Output,
    Query,
    Reason,
    Timeout,
    Url,
    Wait,
    chosen,
    client_of,
    json_object,
    json_value,
    pairs,
    value,
)
from rayflow.cli.errors import CommandError
from rayflow.cli.output import Format

app = typer.Typer()

LISTED = (
    "workflow_id",
    "status",
    "definition",
    "created_at",
    "duration_ms",
    "tasks.successful",
    "tasks.total",
)


@app.command("run")
def run(
    definition: Annotated[str, typer.Argument(help="The definition to launch.")],
    param: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter; JSON, or a text."),
    ] = None,
    params: Annotated[str, typer.Option(help="All parameters as a JSON object.")] = "{}",
    workflow_id: Annotated[str | None, typer.Option("--id", help="Made up if not given.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A tag.")] = None,
    wait: Wait = False,
    timeout: Timeout = None,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Launch a definition."""
    client = client_of(url, data_dir)
    body: dict[str, Any] = {
        "definition": definition,
        "params": json_object(params) | {name: value(text) for name, text in pairs(param)},
        "tags": dict(pairs(tag)),
    }
    if workflow_id is not None:
        body["workflow_id"] = workflow_id
    launched = client.post("workflows/", body)
    until = deadline_in(timeout)
    if wait:
        client.finished(launched["operation"], until)
        end_of(client, launched["workflow"]["workflow_id"], until, form)
        return
    output.show_one(launched["workflow"], form, key="workflow_id")


@app.command("list")
def list_workflows(
    query: Query = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 50,
    sort: Annotated[str, typer.Option(help="created, -created, duration, …")] = "-created",
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """List workflows, newest first."""
    rows = client_of(url, data_dir).rows("workflows/", limit, q=query, sort=sort)
    output.show(rows, LISTED, form, key="workflow_id")


@app.command("get")
def get(
    workflow_id: Id, form: Output = Format.table, url: Url = None, data_dir: DataDir = HERE
) -> None:
    """Show one workflow."""
    found = client_of(url, data_dir).get(f"workflows/{segment(workflow_id)}/")
    output.show_one(found, form, key="workflow_id")


@app.command("status")
def status(
    workflow_id: Id,
    wait: Wait = False,
    timeout: Timeout = None,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Print the status of a workflow, and nothing else; with --wait, once it has ended."""
    client = client_of(url, data_dir)
    if wait:
        end_of(client, workflow_id, deadline_in(timeout), None)
        return
    print(client.get(f"workflows/{segment(workflow_id)}/status/")["status"])


@app.command("tasks")
def tasks(
    workflow_id: Id,
    status: Annotated[str | None, typer.Option(help="Only those, e.g. FAILED.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 200,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """List the tasks of a workflow."""
    path = f"workflows/{segment(workflow_id)}/tasks/"
    rows = client_of(url, data_dir).rows(path, limit, status=status)
    columns = ("task_id", "status", "attempt", "started_at", "duration_ms", "node")
    output.show(rows, columns, form, key="task_id")


@app.command("output")
def show_output(workflow_id: Id, url: Url = None, data_dir: DataDir = HERE) -> None:
    """Print the preview of a workflow's result, as JSON."""
    found = client_of(url, data_dir).get(f"workflows/{segment(workflow_id)}/output/")
    print(json.dumps(found["preview"], indent=2))


@app.command("events")
def events(
    workflow_id: Id,
    after: Annotated[int, typer.Option(min=0, help="Only events after this number.")] = 0,
    form: Output = Format.table,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Show what has happened to a workflow, from its journal."""
    client, rows, more = client_of(url, data_dir), [], True
    while more:
        path = f"workflows/{segment(workflow_id)}/events/"
        page = client.get(path, after_seq=after, limit=1000)
        rows += page["items"]
        after, more = page["last_seq"], page["more"]
    output.show(rows, ("seq", "time", "kind", "task_id", "attempt"), form, key="seq")


@app.command("cancel")
def cancel(
    ids: Ids = None, reason: Reason = "", wait: Wait = False, timeout: Timeout = None,
    url: Url = None, data_dir: DataDir = HERE,
) -> None:  # fmt: skip
    """Stop workflows; what has finished keeps its checkpoints."""
    _act(client_of(url, data_dir), "cancel", ids, reason, wait, timeout)


@app.command("resume")
def resume(
    ids: Ids = None, reason: Reason = "", wait: Wait = False, timeout: Timeout = None,
    url: Url = None, data_dir: DataDir = HERE,
) -> None:  # fmt: skip
    """Continue workflows that failed or were interrupted; with --wait, until they have ended."""
    client, until = client_of(url, data_dir), deadline_in(timeout)
    resumed = _act(client, "resume", ids, reason, wait, timeout)
    for workflow_id in resumed if wait else ():
        end_of(client, workflow_id, until, None)


@app.command("delete")
def delete(
    ids: Ids = None, wait: Wait = False, timeout: Timeout = None,
    url: Url = None, data_dir: DataDir = HERE,
) -> None:  # fmt: skip
    """Delete workflows that have ended, and all that is stored of them."""
    _act(client_of(url, data_dir), "delete", ids, "", wait, timeout)


@app.command("signal")
def signal(
    workflow_id: Id,
    name: Annotated[str, typer.Argument(help="The name of the signal.")],
    payload: Annotated[str, typer.Argument(help="JSON.")] = "null",
    wait: Wait = False,
    timeout: Timeout = None,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Send a signal to a workflow."""
    client = client_of(url, data_dir)
    path = f"workflows/{segment(workflow_id)}/signals/{segment(name)}/"
    operation = client.post(path, json_value(payload))["operation"]
    if wait:
        client.finished(operation, deadline_in(timeout))


@app.command("definitions")
def definitions(form: Output = Format.table, url: Url = None, data_dir: DataDir = HERE) -> None:
    """List what can be launched."""
    found = client_of(url, data_dir).get("definitions/")
    rows = found["items"] if isinstance(found, dict) else found
    output.show(rows, ("name", "description"), form, key="name")


@app.command("open")
def open_page(
    workflow_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    url: Url = None,
    data_dir: DataDir = HERE,
) -> None:
    """Open the console, or a workflow's page, in the browser; prints the address."""
    client = client_of(url, data_dir)
    page = f"workflows/{segment(workflow_id)}/" if workflow_id else ""
    print(f"{client.url}/{page}")
    typer.launch(f"{client.url}/{page}")


def _act(
    client: Client, verb: str, ids: list[str] | None, reason: str, wait: bool, timeout: float | None
) -> list[str]:
    """Ask for a verb of each workflow; all are asked for before any is waited for."""
    wanted = chosen(ids)
    operations = []
    for workflow_id in wanted:
        path = f"workflows/{segment(workflow_id)}/"
        if verb == "delete":
            answer = client.delete(path)
        else:
            answer = client.post(f"{path}actions/{verb}/", {"reason": reason})
        operations.append(answer["operation"])
        output.note(f"{verb} of {workflow_id} requested")
    until = deadline_in(timeout)
    for operation in operations if wait else ():
        client.finished(operation, until)
    return wanted


def end_of(client: Client, workflow_id: str, deadline: float | None, form: Format | None) -> None:
    """Wait for the end of a workflow and show it; exit status 5 unless it is SUCCESSFUL.

    Without ``form`` only the status is printed.
    """
    last: dict[str, Any] = {}
    with output.progress(workflow_id) as bar:
        for last in client.statuses(workflow_id, deadline):
            counts = last["tasks"]
            done = counts["successful"] + counts["failed"] + counts["canceled"]
            output.advance(bar, f"{workflow_id} {last['status']}", done, counts["total"])
    if form is None:
        print(last["status"])
    else:
        found = client.get(f"workflows/{segment(workflow_id)}/")
        output.show_one(found, form, key="workflow_id")
    if last["status"] != "SUCCESSFUL":
        raise CommandError(f"workflow {workflow_id} is {last['status']}", exit_code=FAILED)
