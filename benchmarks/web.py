"""Measures the backend on PostgreSQL: ``make bench-web``.

Launches through REST in batches with everything that ``rayflow up`` starts; the follower on journals with a
hundred thousand records; the pages and the API with a million workflows (``--workflows`` for fewer).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import full
from tests.postgresql import postgresql

CHECKOUT = Path(__file__).resolve().parent.parent
BATCH = 1_000
JOURNALS = ((3_000, 10), (30, 1_000), (1, 30_000))  # how many workflows, of how many tasks each
PATIENCE_SECONDS = 300.0

Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["launch", "follower", "pages"])
    parser.add_argument("--workflows", type=int, default=1_000_000, help="for the pages")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    chosen = parser.parse_args()
    figures: Figures = {}
    if chosen.only in (None, "launch"):
        figures |= launches()
    if chosen.only in (None, "follower"):
        figures |= followed()
    for name, value in figures.items():
        print(f"{name:40} {value:10,.1f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    if chosen.only in (None, "pages"):
        command = ["-m", "tests.scale", "--postgresql", "--workflows", str(chosen.workflows)]
        return subprocess.run([sys.executable, *command], cwd=CHECKOUT, check=False).returncode
    return 0


def launches() -> Figures:
    """A batch of a thousand workflows of one task: accepted, started, and seen to have ended."""
    from tests.acceptance.conftest import Instance

    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder, postgresql() as server:
        instance = Instance(Path(folder) / "data")
        flows = str(CHECKOUT / "benchmarks" / "flows.py")
        try:
            instance.start(RAYFLOW_FLOWS=flows, DATABASE_URL=server.address)
            return _launched(instance, server.address)
        finally:
            instance.destroy()


def _launched(instance: Any, database: str) -> Figures:
    import httpx

    from tests.acceptance.conftest import rayflow

    made = rayflow("token", "create", "bench", "--user", "operator", "--scope", "write",
                   "--data-dir", str(instance.folder), DATABASE_URL=database)  # fmt: skip
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    with httpx.Client(base_url=f"{instance.url}/api/v1/", headers=headers, timeout=120) as api:
        _wait(lambda: api.get("definitions/bench/").status_code == 200)
        _batch(api, "warm", 20)
        _ended(api, "warm", 20)
        begun = time.monotonic()
        _batch(api, "b", BATCH)
        accepted = time.monotonic() - begun
        _ended(api, "b", BATCH)
        return {
            "launch_accepted_per_s": BATCH / accepted,
            "launch_ended_per_s": BATCH / (time.monotonic() - begun),
        }


def _batch(api: Any, name: str, size: int) -> None:
    items = [
        {"definition": "bench", "params": {"number": n}, "workflow_id": f"{name}-{n}"}
        for n in range(size)
    ]
    answer = api.post("workflows/batch/", json={"items": items})
    assert answer.status_code == 202, answer.text


def _ended(api: Any, name: str, size: int) -> None:
    """Wait until the registry has seen the end of all."""
    query = {"q": f"status:SUCCESSFUL id:{name}-*"}
    _wait(lambda: api.get("workflow-counts/", params=query).json()["value"] >= size)


def followed() -> Figures:
    """Records a second that the follower takes from the storage into PostgreSQL."""
    figures: Figures = {}
    for number, tasks in JOURNALS:
        with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder, postgresql() as server:
            full.fill(Path(folder), number, tasks)
            command = [sys.executable, __file__, "--follow", folder]
            environment = {
                **os.environ,
                "DATABASE_URL": server.address,
                "BENCH_STORAGE": folder,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
            }
            ended = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
            rate = float(ended.stdout.strip().splitlines()[-1])
            figures[f"follower_records_per_s_{number}x{tasks}"] = rate
    return figures


def follow() -> None:
    """Print how many records a second go from ``BENCH_STORAGE`` into ``DATABASE_URL``."""
    import logging

    import django

    django.setup()
    logging.disable(logging.WARNING)
    from django.conf import settings
    from django.core.management import call_command

    from workflows_app.engine import RayGateway
    from workflows_app.follower import Follower
    from workflows_app.gateway import Changes
    from workflows_app.models import WorkflowEvent

    class Recorded(RayGateway):
        """The storage, and an engine that has nothing new to tell of it."""

        def changes(self, cursor: str | None, timeout: float) -> Changes:
            return Changes(cursor="1", workflow_ids=[], reset=cursor is None)

    settings.RAYFLOW_STORAGE = os.environ["BENCH_STORAGE"]
    call_command("migrate", verbosity=0)
    follower, begun = Follower(Recorded()), time.monotonic()
    follower.step(0.0)
    took = time.monotonic() - begun
    assert WorkflowEvent.objects.exists()
    print(_records() / took)


def _records() -> int:
    """How many records the registry has taken in: the last part of each position."""
    from workflows_app.models import Workflow

    positions = Workflow.objects.values_list("position", flat=True)
    return sum(int(position.rpartition(":")[2]) for position in positions)


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it took too long")
        time.sleep(0.25)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--follow"]:
        follow()
    else:
        sys.exit(main())
