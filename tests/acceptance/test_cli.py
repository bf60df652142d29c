"""The command line against a running instance: every command, its output for programs, its exit status."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Instance, rayflow
from tests.waiting import until

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(running: Instance) -> Command:
    """Run a command on the instance, with its data folder and nothing else."""

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return rayflow(*arguments, RAYFLOW_DATA_DIR=str(running.folder), **extra)

    return run


def read(done: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    """The JSON that a command printed."""
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_a_workflow_is_run_looked_at_and_deleted(command: Command, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    options = ("-p", f"ledger={ledger}", "-p", "links=3", "-p", "seconds=0", "--tag", "team=ml")
    ran = read(command("run", "counted", *options, "--id", "cli-1", "--wait", "-o", "json"))
    assert (ran["status"], ran["tasks"]["successful"]) == ("SUCCESSFUL", 3)
    assert ran["tags"] == {"team": "ml"}
    assert command("status", "cli-1").stdout == "SUCCESSFUL\n"
    assert command("list", "-q", "tag.team:ml", "-o", "ids").stdout == "cli-1\n"
    assert "SUCCESSFUL" in command("list").stdout
    assert read(command("get", "cli-1", "-o", "json"))["params"]["links"] == 3
    tasks = command("tasks", "cli-1", "-o", "ndjson").stdout.splitlines()
    assert {json.loads(line)["task_id"] for line in tasks} == {"link-0", "link-1", "link-2"}
    assert read(command("output", "cli-1"))["json"] == 3
    events = read(command("events", "cli-1", "-o", "json"))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "counted" in command("definitions", "-o", "ids").stdout.split()
    assert command("open", "cli-1").stdout.strip().endswith("/workflows/cli-1/")
    assert command("delete", "cli-1", "--wait").returncode == 0
    gone = command("get", "cli-1")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert "There is no workflow 'cli-1'" in gone.stderr


def test_a_failed_workflow_is_resumed_and_a_running_one_canceled(
    command: Command, tmp_path: Path
) -> None:
    needed, flag = tmp_path / "needed", tmp_path / "flag"
    failed = command("run", "fragile", "-p", f"path={needed}", "--id", "fragile", "--wait")
    assert failed.returncode == 5
    assert "workflow fragile is FAILED" in failed.stderr
    needed.touch()
    resumed = command("resume", "fragile", "--wait")
    assert (resumed.returncode, resumed.stdout) == (0, "SUCCESSFUL\n")
    again = command("resume", "fragile")
    assert again.returncode == 4
    assert "only a FAILED or RESUMABLE workflow can be resumed" in again.stderr
    assert command("run", "held", "-p", f"flag={flag}", "--id", "held").returncode == 0
    late = command("status", "held", "--wait", "--timeout", "0.5")
    assert late.returncode == 6
    assert "still under way" in late.stderr
    assert command("cancel", "held", "--wait", "--reason", "a test").returncode == 0
    assert command("status", "held", "--wait").returncode == 5


def test_many_are_resumed_and_deleted_at_once(command: Command, tmp_path: Path) -> None:
    needed = tmp_path / "needed"
    for number in range(2):
        workflow_id = f"many-{number}"
        command("run", "fragile", "-p", f"path={needed}", "--id", workflow_id, "--wait")
    needed.touch()
    query = ("-q", "id:many-* status:FAILED")
    plan = read(command("bulk", "resume", *query, "--dry-run", "-o", "json"))
    assert (plan["matched"], plan["eligible"]) == (2, 2)
    asked = command("bulk", "resume", *query)
    assert asked.returncode != 0  # nobody answered the question
    done = read(command("bulk", "resume", *query, "--yes", "--wait", "-o", "json"))
    assert (done["state"], done["done"]) == ("SUCCEEDED", 2)
    for number in range(2):
        assert command("status", f"many-{number}", "--wait").stdout == "SUCCESSFUL\n"
    refused = command("bulk", "delete", "-q", "id:many-*", "--yes")
    assert refused.returncode == 2
    assert "--reason" in refused.stderr
    everything = command("resume-all", "--include-failed", "--dry-run", "-o", "ids")
    assert everything.returncode == 0
    ids = command("list", "-q", "id:many-*", "-o", "ids").stdout
    piped = command("delete", "-", "--wait", input=ids)
    assert piped.returncode == 0, piped.stderr
    assert command("list", "-q", "id:many-*", "-o", "ids").stdout == ""


def test_a_workflow_is_planned_forked_compared_and_rerun(command: Command, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    options = ("-p", f"ledger={ledger}", "-p", "links=3", "-p", "seconds=0")
    command("run", "counted", *options, "--id", "first", "--wait")
    plan = read(command("fork", "first", "--from", "link-1", "--dry-run", "-o", "json"))
    assert plan["run"]["items"] == ["link-1", "link-2"]
    assert plan["reuse"]["items"] == ["link-0"]
    fork = read(
        command("fork", "first", "--from", "link-1", "--id", "second", "--wait", "-o", "json")
    )
    assert (fork["status"], fork["forked_from"]) == ("SUCCESSFUL", "first")
    assert fork["tasks"]["successful"] == 3
    same = read(command("compare", "first", "second", "-o", "json"))
    assert same["params"] == []
    assert same["first_divergence"] is None
    again = command("rerun", "first", "-p", "links=2", "--id", "third", "--wait", "-o", "json")
    assert read(again)["tasks"]["total"] == 2
    compared = command("compare", "first", "third").stdout
    assert "params/links" in compared
    assert command("fork", "first", "--from", "nothing").returncode == 2
    assert command("delete", "first", "--wait").returncode == 4  # its fork uses its results
    assert command("delete", "second", "--wait").returncode == 0
    assert command("delete", "first", "third", "--wait").returncode == 0


def test_what_a_resume_would_do_is_shown(command: Command, tmp_path: Path) -> None:
    command("run", "fragile", "-p", f"path={tmp_path / 'no'}", "--id", "planned", "--wait")
    assert read(command("plan", "planned", "-o", "json"))["run"]["count"] == 1
    assert "run" in command("plan", "planned").stdout


def test_what_a_task_prints_is_shown_while_it_runs(command: Command, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    command("run", "talkative", "-p", f"flag={flag}", "--id", "talks")
    until(lambda: "begun" in command("logs", "talks").stdout, seconds=60)
    flag.touch()
    followed = command("logs", "talks", "talk", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "begun" in followed.stdout
    assert command("status", "talks", "--wait").stdout == "SUCCESSFUL\n"
    lines = command("logs", "talks", "talk", "--all", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["begun", "ended"]
    found = command("logs", "talks", "--grep", "END").stdout
    assert "ended" in found
    assert "begun" not in found
    assert command("logs", "talks", "ghost").returncode == 3


def test_a_schedule_is_made_triggered_paused_and_deleted(command: Command, tmp_path: Path) -> None:
    ledger = f"ledger={tmp_path / 'scheduled'}"
    base = ("schedule", "create", "nightly", "counted", "--cron", "0 3 * * *", "-p", ledger)
    times = read(command(*base, "--timezone", "Asia/Kathmandu", "--dry-run", "-o", "json"))
    assert len(times) == 10
    assert "03:00:00 +0545" in times[0]["local"]
    made = read(command(*base, "-p", "links=1", "-p", "seconds=0", "-o", "json"))
    assert (made["definition"], made["paused"]) == ("counted", False)
    assert command("schedule", "pause", "nightly", "--reason", "holidays").returncode == 0
    assert read(command("schedule", "get", "nightly", "-o", "json"))["pause_reason"] == "holidays"
    assert command("schedule", "unpause", "nightly").returncode == 0
    run = read(command("schedule", "trigger", "nightly", "-o", "json"))
    assert command("status", run["workflow_id"], "--wait", "--timeout", "60").returncode == 0
    runs = read(command("schedule", "runs", "nightly", "-o", "json"))
    assert runs[0]["workflow_id"] == run["workflow_id"]
    assert "nightly" in command("schedule", "list").stdout
    assert len(command("schedule", "preview", "nightly", "-o", "ids").stdout.split()) == 10
    assert command("schedule", "delete", "nightly").returncode == 0
    assert command("schedule", "get", "nightly").returncode == 3


def test_the_storage_of_an_instance_is_verified(command: Command, running: Instance) -> None:
    done = command("verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is whole" in done.stderr
    refused = command("verify", "--rebuild-index")
    assert refused.returncode == 2
    assert "An engine uses" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("run", "nothing"), 3, "There is no definition 'nothing'"),
        (("run", "counted", "-p", "links=many"), 2, "/params/links"),
        (("run", "counted", "-p", "links"), 2, "is not NAME=VALUE"),
        (("run", "counted", "--params", "[1]"), 2, "is no JSON object"),
        (("run", "held", "-p", "flag=x", "--id", "a/b"), 2, "cannot be a workflow id"),
        (("list", "-q", "statu:FAILED"), 2, "There is no key 'statu'"),
        (("status", "ghost"), 3, "There is no workflow 'ghost'"),
        (("cancel",), 2, "name at least one workflow id"),
        (("signal", "ghost", "paid", "{"), 2, "is no JSON"),
        (("get", "a/../b"), 3, "There is no workflow 'a/../b'"),
        (("bulk", "explode", "-q", "id:x", "--dry-run"), 2, "explode"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_status(
    command: Command, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = command(*arguments)
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_finds_an_instance_well(command: Command, running: Instance) -> None:
    done = command("doctor", COLUMNS="200")
    assert done.returncode == 0, done.stdout
    for part in (
        "web server",
        "clock",
        "database and Redis",
        "follower",
        "engine on Ray",
        "Celery",
    ):
        assert f"ok    {part}" in done.stdout
    token = running.folder / "run" / "cli-token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_the_doctor_says_what_is_wrong(running: Instance, tmp_path: Path) -> None:
    nowhere = rayflow("doctor", "--data-dir", str(tmp_path), COLUMNS="200")
    assert nowhere.returncode == 1
    assert "there is no instance in" in nowhere.stdout
    dead = rayflow("doctor", RAYFLOW_URL="http://127.0.0.1:9", RAYFLOW_TOKEN="x", COLUMNS="200")
    assert dead.returncode == 1
    assert "nothing answers" in dead.stdout
    foreign = rayflow("doctor", RAYFLOW_URL=running.url, RAYFLOW_TOKEN="rf_x", COLUMNS="200")
    assert foreign.returncode == 1
    assert "wrong account" in foreign.stdout
    unset = rayflow("list", RAYFLOW_URL=running.url)
    assert unset.returncode == 2
    assert "set RAYFLOW_TOKEN" in unset.stderr
