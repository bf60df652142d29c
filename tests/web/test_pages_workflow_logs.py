"""The merged log of a workflow."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from rayflow.storage.logs import LogFile
from tests.web import factories
from tests.web.fake_gateway import FakeGateway
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from workflows_app.models import Task
from workflows_app.pages.workflow_logs import MOST_ATTEMPTS

pytestmark = pytest.mark.django_db

PAGE = "/workflows/one/logs/"


def printed(engine: FakeGateway, task: str, *lines: tuple[float, str, str | None]) -> None:
    rows = [json.dumps({"t": t, "s": "log", "l": level, "m": text}) for t, text, level in lines]
    LogFile(engine.store, "one", task, 1).append("".join(f"{row}\n" for row in rows).encode())


def lines_of(text: str) -> list[str]:
    assert check_markup(text).faults == []
    return re.findall(r'<span class="log-text">([^<]*)</span>', text)


def made(engine: FakeGateway, *names: str) -> list[Task]:
    tasks = factories.tasks(factories.workflow("one"), [(name, 1, "SUCCESSFUL") for name in names])
    for task in tasks:
        factories.attempts(task, ["SUCCESSFUL"])
    return tasks


def test_lines_of_all_tasks_stand_in_the_order_of_time(engine: FakeGateway, operator: User) -> None:
    made(engine, "load", "fit")
    printed(engine, "load", (1.8e9, "first", "INFO"), (1.8e9 + 3, "third", "INFO"))
    printed(engine, "fit", (1.8e9 + 1, "second", "WARNING"), (1.8e9 + 4, HOSTILE, "ERROR"))
    client = signed_in(operator)
    text = text_of(client.get(PAGE))
    assert lines_of(text)[:3] == ["first", "second", "third"]
    assert "/workflows/one/tasks/fit/logs/?attempt=1&amp;offset=0#L0" in text
    assert lines_of(text_of(client.get(PAGE, {"level": "WARNING"})))[0] == "second"
    assert lines_of(text_of(client.get(PAGE, {"grep": "THIRD"}))) == ["third"]
    assert lines_of(text_of(client.get(PAGE, {"name": "load"}))) == ["first", "third"]
    assert "No line fits" in text_of(client.get(PAGE, {"grep": "nothing like it"}))


def test_only_the_newest_attempts_are_read_and_the_page_says_so(
    engine: FakeGateway, operator: User
) -> None:
    tasks = made(engine, *(f"t{n:03d}" for n in range(MOST_ATTEMPTS + 5)))
    start = timezone.now()
    for n, task in enumerate(tasks):
        Task.objects.filter(pk=task.pk).update(started_at=start + timedelta(seconds=n))
        printed(engine, task.task_id, (1.8e9 + n, f"line of {n}", None))
    client = signed_in(operator)
    with statements() as asked:
        text = text_of(client.get(PAGE))
    assert len(lines_of(text)) == MOST_ATTEMPTS
    assert f"the newest {MOST_ATTEMPTS} attempts" in text
    assert "line of 0<" not in text
    assert len(asked) <= 9


def test_without_the_storage_the_page_says_so(engine: FakeGateway, operator: User) -> None:
    made(engine, "load")
    engine.is_down = True
    text = text_of(signed_in(operator).get(PAGE))
    assert "The storage did not answer." in text
