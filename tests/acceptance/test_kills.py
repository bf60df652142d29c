"""kill -9 of every part in the middle of a run: the same result, and no recorded task runs again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import Instance, rayflow, wait_until
from tests.crash.ledger import assert_nothing_recorded_ran_again, executions, process_of

LINKS = 16


@pytest.fixture(scope="module")
def api(running: Instance) -> Iterator[httpx.Client]:
    """A client with a token that may write."""
    made = rayflow(
        "token", "create", "kills", "--user", "operator", "--scope", "write",
        "--data-dir", str(running.folder),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    transport = httpx.HTTPTransport(retries=3)
    with httpx.Client(
        base_url=f"{running.url}/api/v1/", headers=headers, transport=transport, timeout=30
    ) as client:
        wait_until(
            lambda: client.get("definitions/counted/").status_code == 200,
            what="the definitions of the test",
        )
        yield client


def status_of(api: httpx.Client, workflow_id: str) -> str:
    """The status as the registry has it; nothing while the web server is coming back."""
    try:
        response = api.get(f"workflows/{workflow_id}/status/")
    except httpx.TransportError:
        return ""
    return str(response.json()["status"]) if response.status_code == 200 else ""


def engine_pid(instance: Instance) -> int:
    owner = json.loads((instance.folder / "storage/index/owner.json").read_text())
    return int(owner["cluster"].rpartition(":")[2])


@pytest.mark.parametrize("victim", ["worker", "engine", "celery", "follower", "web", "redis"])
def test_a_run_ends_with_the_same_result_when_a_part_is_killed(
    running: Instance, api: httpx.Client, tmp_path: Path, victim: str
) -> None:
    ledger, workflow_id = tmp_path / "ledger", f"survives-{victim}"
    params = {"ledger": str(ledger), "links": LINKS}
    body = {"definition": "counted", "params": params, "workflow_id": workflow_id}
    assert api.post("workflows/", json=body).status_code == 202
    wait_until(
        lambda: ledger.exists() and "link-4" in executions(ledger), what="the fifth task to begin"
    )

    pids = {
        "worker": lambda: process_of(ledger, "link-4"),
        "engine": lambda: engine_pid(running),
    }
    os.kill(pids.get(victim, lambda: running.part_pid(victim))(), signal.SIGKILL)

    wait_until(lambda: status_of(api, workflow_id) == "SUCCESSFUL", what="the workflow to succeed")
    output = api.get(f"workflows/{workflow_id}/output/").json()
    assert json.dumps(LINKS) in json.dumps(output)
    assert sum(executions(ledger).values()) <= LINKS + 1
    assert_nothing_recorded_ran_again(str(running.folder / "storage"), workflow_id, ledger)
    counts = api.get(f"workflows/{workflow_id}/").json()["tasks"]
    assert (counts["successful"], counts["failed"], counts["running"]) == (LINKS, 0, 0)
