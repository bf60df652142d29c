"""Two rules of the architecture that import-linter cannot see: who writes models, and who sends.

Commands and settings tables are written by the services (and API tokens by their module), the
registry tables by the follower's projection with its counts (or by the seeding, which fills an empty registry
for a trial); Channels and Celery are reached through after_commit alone.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "workflows_app"
WRITES = re.compile(
    r"\.(?:save|delete|bulk_create|bulk_update|update_or_create|get_or_create)\("
    r"|bulk_rows\.\w+\(|\.objects\.create\(|\.objects[\w.()=]*\.update\("
)
SENDS = re.compile(r"\b(?:group_send|channel_layer\.send|send_task|apply_async|delay)\(")
# The gateway calls methods of the same names on workflows of the library; it imports no model.
WRITERS = (
    "services",
    "projection",
    "resolution",
    "rollups",
    "seeding",
    "follower",
    "tokens",
    "migrations",
    "engine",
)
SENDERS = ("after_commit",)


def lines_outside(allowed: tuple[str, ...], pattern: re.Pattern[str]) -> list[str]:
    """Lines of the app that match, in files whose module is not one of those allowed."""
    found = []
    for path in sorted(APP.rglob("*.py")):
        relative = path.relative_to(APP)
        if relative.parts[0].removesuffix(".py") in allowed:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line.split("#")[0]):
                found.append(f"{relative}:{number}: {line.strip()}")
    return found


def test_only_services_and_the_projection_write_models() -> None:
    assert lines_outside(WRITERS, WRITES) == []


def test_only_after_commit_sends_and_enqueues() -> None:
    assert lines_outside(SENDERS, SENDS) == []


@pytest.mark.parametrize(
    "line", ["row.save()", "Workflow.objects.create(a=1)", "Task.objects.filter(x=1).update(y=2)"]
)
def test_the_search_recognises_a_write(line: str) -> None:
    assert WRITES.search(line)


@pytest.mark.parametrize(
    "line", ["layer.group_send(name, message)", "app.send_task(name)", "run_command.delay(id)"]
)
def test_the_search_recognises_a_send(line: str) -> None:
    assert SENDS.search(line)
