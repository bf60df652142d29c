"""A Python client generated from the OpenAPI document starts, waits for, resumes and deletes a workflow."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import Instance, rayflow, wait_until

GENERATE = (sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none")
NAME = "generated_rayflow_client"


@pytest.fixture
def token(running: Instance) -> str:
    made = rayflow(
        "token", "create", "generated", "--user", "operator", "--scope", "admin",
        "--data-dir", str(running.folder),
    )  # fmt: skip
    return made.stdout.strip()


@pytest.fixture
def operations(
    running: Instance, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The generated functions of the workflows, by name."""
    document = tmp_path / "schema.json"
    headers = {"Authorization": f"Bearer {token}"}
    document.write_text(httpx.get(f"{running.url}/api/v1/schema/", headers=headers).text)
    done = subprocess.run(
        [*GENERATE, "--path", str(document), "--output-path", str(tmp_path / NAME)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "WARNING" not in said, said
    assert "ERROR" not in said, said
    monkeypatch.syspath_prepend(tmp_path)

    def load(module: str) -> Any:
        return importlib.import_module(f"{NAME}.{module}")

    return load


def test_a_generated_client_drives_a_workflow_through_its_life(
    running: Instance, token: str, operations: Any, tmp_path: Path
) -> None:
    made = operations("client").AuthenticatedClient(base_url=running.url, token=token, timeout=60)
    with made as client:
        _drive(client, operations, tmp_path / "missing")


def _drive(client: Any, operations: Any, missing: Path) -> None:
    asked = {"definition": "fragile", "params": {"path": str(missing)}, "workflow_id": "generated"}
    body = operations("models").LaunchRequest.from_dict(asked)

    def call(name: str, *args: Any, **more: Any) -> Any:
        answer = operations(f"api.workflows.{name}").sync_detailed(*args, client=client, **more)
        assert answer.status_code in (200, 202, 404), answer
        return answer

    def ended() -> str:
        answer = call("get_workflows_status", "generated", wait=50.0)
        return "" if answer.status_code == 404 else str(answer.parsed.status.value)

    assert call("post_workflows", body=body).parsed.workflow.workflow_id == "generated"
    wait_until(lambda: ended() == "FAILED", what="the workflow to fail")
    missing.touch()
    call("post_workflows_actions_resume", "generated")
    wait_until(lambda: ended() == "SUCCESSFUL", what="the resumed workflow to succeed")
    output = call("get_workflows_output", "generated").parsed
    assert "found" in json.dumps(output.to_dict())
    deleted = call("delete_workflows", "generated").parsed
    operation = operations("api.operations.get_operations_detail").sync(
        deleted.operation.id, client=client, wait=50.0
    )
    assert (operation.state.value, operation.kind.value) == ("SUCCEEDED", "delete")
