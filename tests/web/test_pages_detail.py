"""The pages of one workflow: summary, tasks, graph, timeline, events."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from tests.web import factories
from tests.web.pages import check_markup, signed_in, statements, text_of
from workflows_app.models import Command, CommandKind, CommandState, Task, Workflow

pytestmark = pytest.mark.django_db

TABS = ["", "tasks/", "tasks/fit/", "graph/", "timeline/", "events/"]


def fitted(workflow_id: str, number: int, status: str = "RUNNING") -> Workflow:
    """A workflow with `number` tasks named fit between a first and a last one."""
    owner = factories.workflow(workflow_id, status)
    factories.tasks(
        owner,
        [("load", 1, "SUCCESSFUL"), ("fit", number, "SUCCESSFUL"), ("report", 1, "PENDING")],
    )
    factories.events(owner, [("started", f"fit_{n}", {}) for n in range(number)])
    return owner


@pytest.mark.parametrize("tab", TABS)
def test_the_number_of_statements_does_not_depend_on_the_number_of_tasks(
    tab: str, operator: User
) -> None:
    client = signed_in(operator)
    fitted("small", 3)
    fitted("large", 300)
    counts = []
    for workflow_id in ("small", "large"):
        client.get(f"/workflows/{workflow_id}/{tab}")
        with statements() as found:
            assert client.get(f"/workflows/{workflow_id}/{tab}").status_code == 200
        counts.append(len(found))
        assert not any("OFFSET" in sql for sql in found)
    assert counts[0] == counts[1]
    assert counts[1] <= 10


@pytest.mark.parametrize("tab", TABS)
def test_no_page_of_a_large_workflow_is_large(tab: str, operator: User) -> None:
    fitted("large", 3_000)
    response = signed_in(operator).get(f"/workflows/large/{tab}")
    assert len(response.content) < 300_000


def test_the_summary_shows_progress_by_task_name(operator: User) -> None:
    fitted("wf", 12)
    text = text_of(signed_in(operator).get("/workflows/wf/"))
    assert "13 of 14 tasks done" in text
    assert "12/12" in text
    assert "?name=fit" in text


def test_a_failure_is_shown_with_its_traceback_and_its_task(operator: User) -> None:
    factories.showcase()
    text = text_of(signed_in(operator).get("/workflows/trip-lisbon-0412/"))
    assert "flights.example answered 503" in text
    assert "raise ServiceUnavailable" in text
    assert "/workflows/trip-lisbon-0412/tasks/book_flight/" in text


def test_a_table_as_output_is_shown_as_a_table_that_says_what_is_left_out(operator: User) -> None:
    factories.workflow("wf", output_preview=factories.TABLE_PREVIEW)
    text = text_of(signed_in(operator).get("/workflows/wf/"))
    assert "mean_accuracy" in text
    assert "8 of 12 rows" in text
    assert "12 \N{MULTIPLICATION SIGN} 4" in text


def test_a_table_inside_the_output_is_shown_below_it(operator: User) -> None:
    preview = {"type": "dict", "size": 99, "shape": None, "text": None, "table": None,
               "json": {"best": 0.98, "metrics": "<table of 12 rows>"}, "truncated": False,
               "parts": [{"name": "metrics", "preview": factories.TABLE_PREVIEW}]}  # fmt: skip
    factories.workflow("wf", output_preview=preview)
    text = text_of(signed_in(operator).get("/workflows/wf/"))
    check_markup(text)
    assert "&quot;best&quot;: 0.98" in text
    assert ">metrics</h3>" in text
    assert "mean_accuracy" in text
    assert "8 of 12 rows" in text


def test_a_value_nested_without_end_does_not_break_the_page(operator: User) -> None:
    deep: list[object] = []
    for _ in range(700):
        deep = [deep]
    factories.workflow("wf", user_metadata={"deep": deep})
    response = signed_in(operator).get("/workflows/wf/")
    assert response.status_code == 200
    assert "nested too deeply to be shown" in text_of(response)


@pytest.mark.parametrize(
    ("preview", "words"),
    [
        ({"type": "dict", "size": 9, "json": {"best": 0.98}}, "&quot;best&quot;: 0.98"),
        ({"type": "Model", "size": 9, "text": "SVC(C=10)"}, "SVC(C=10)"),
        ({"type": "bytes", "size": 2_097_152}, "2.0\xa0MB"),
        ({"type": "bool", "size": 1, "json": False}, "false"),
    ],
)
def test_any_preview_has_a_form(preview: dict[str, object], words: str, operator: User) -> None:
    whole = {"shape": None, "text": None, "json": None, "table": None, "truncated": False}
    factories.workflow("wf", output_preview={**whole, **preview})
    assert words in text_of(signed_in(operator).get("/workflows/wf/"))


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("PENDING", {"cancel"}),
        ("RUNNING", {"cancel"}),
        ("SUCCESSFUL", {"delete"}),
        ("FAILED", {"resume", "delete"}),
        ("RESUMABLE", {"resume", "delete"}),
        ("CANCELED", {"delete"}),
    ],
)
def test_only_what_is_possible_is_offered(
    status: str, offered: set[str], administrator: User
) -> None:
    factories.workflow("wf", status)
    text = text_of(signed_in(administrator).get("/workflows/wf/"))
    verbs = {verb for verb in ("cancel", "resume", "delete") if f"/actions/{verb}/" in text}
    assert verbs == offered


def test_while_a_command_waits_the_page_says_so_and_offers_no_other(administrator: User) -> None:
    factories.workflow("wf", "RUNNING", pending_command="cancel")
    text = text_of(signed_in(administrator).get("/workflows/wf/"))
    assert "Cancel requested, waiting for the engine" in text
    assert "/actions/" not in text
    assert "Running" in text


def test_what_the_engine_refused_is_told_on_the_page(operator: User) -> None:
    factories.workflow("wf", "FAILED")
    Command.objects.create(
        kind=CommandKind.RESUME, workflow_id="wf", state=CommandState.FAILED,
        problem={"detail": "The checkpoint of fit_3 is damaged."},
    )  # fmt: skip
    text = text_of(signed_in(operator).get("/workflows/wf/"))
    assert "Resume did not work." in text
    assert "The checkpoint of fit_3 is damaged." in text


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        (CommandState.QUEUED, 200, "Waiting for a worker"),
        (CommandState.RUNNING, 200, "Handing it to the engine"),
        (CommandState.SUCCEEDED, 200, "Accepted by the engine"),
        (CommandState.FAILED, 409, "No engine answers."),
    ],
)
def test_a_workflow_that_was_only_just_asked_for_has_a_page(
    state: CommandState, status: int, words: str, operator: User
) -> None:
    Command.objects.create(
        kind=CommandKind.LAUNCH, workflow_id="new", state=state,
        payload={"definition": "digits"}, problem={"detail": "No engine answers."},
    )  # fmt: skip
    response = signed_in(operator).get("/workflows/new/")
    assert response.status_code == status
    assert words in text_of(response)
    assert ("data-watch" in text_of(response)) == (state != CommandState.FAILED)


def test_a_deleted_workflow_is_not_mistaken_for_one_that_starts(operator: User) -> None:
    for kind in (CommandKind.LAUNCH, CommandKind.DELETE):
        Command.objects.create(
            kind=kind, workflow_id="gone", state=CommandState.SUCCEEDED,
            finished_at=timezone.now(), payload={},
        )  # fmt: skip
    response = signed_in(operator).get("/workflows/gone/")
    assert response.status_code == 404
    assert "has been deleted" in text_of(response)


def test_tasks_are_filtered_by_status_and_name_and_paged(operator: User) -> None:
    fitted("wf", 150)
    client = signed_in(operator)
    text = text_of(client.get("/workflows/wf/tasks/?name=fit&status=SUCCESSFUL"))
    assert "100 of 152 tasks, filtered" in text
    (following,) = [str(a["href"]) for t, a in check_markup(text).tags if a.get("rel") == "next"]
    text = text_of(client.get(f"/workflows/wf/tasks/{following}"))
    assert "fit_149" in text
    assert "50 of 152 tasks" in text
    assert "No task matches" in text_of(client.get("/workflows/wf/tasks/?status=FAILED"))


def test_a_task_shows_its_attempts_and_its_neighbours(operator: User) -> None:
    factories.showcase()
    text = text_of(signed_in(operator).get("/workflows/trip-lisbon-0412/tasks/book_flight/"))
    page = check_markup(text).attributes("href")
    assert "/workflows/trip-lisbon-0412/tasks/book_hotel/" in page
    assert "/workflows/trip-lisbon-0412/tasks/confirm/" in page
    assert "/workflows/trip-lisbon-0412/tasks/find_offers/" not in page
    assert text.count("flights.example answered 503") >= 4


def test_a_neighbour_is_not_guessed_from_a_part_of_its_id(operator: User) -> None:
    owner = factories.workflow("wf")
    Task.objects.create(workflow=owner, task_id='a"', name="a")
    Task.objects.create(workflow=owner, task_id="b", name="b", upstream=['xa"'])
    Task.objects.create(workflow=owner, task_id="ü", name="ü", upstream=['a"'])
    text = text_of(signed_in(operator).get("/workflows/wf/tasks/a%22/"))
    assert "/workflows/wf/tasks/%C3%BC/" in text
    assert "/workflows/wf/tasks/b/" not in text


def test_the_graph_links_each_name_to_its_tasks_and_stands_as_a_table_too(operator: User) -> None:
    fitted("wf", 4)
    text = text_of(signed_in(operator).get("/workflows/wf/graph/"))
    page = check_markup(text)
    links = [link for link in page.attributes("href") if link.endswith("/tasks/?name=fit")]
    assert len(links) == 1
    opening = [
        link for link in page.attributes("href") if link.endswith("/graph/?open=fit#members")
    ]
    assert len(opening) == 1
    assert text.count('class="edge"') == 2
    assert "fit: 4 of 4 done" in text


def test_the_timeline_puts_bars_on_one_axis(operator: User) -> None:
    now = timezone.now()
    owner = factories.workflow("wf", started_at=now, created_at=now, duration_ms=10_000,
                               finished_at=now + timedelta(seconds=10))  # fmt: skip
    for name, begin, end in (("first", 0, 5), ("second", 5, 10)):
        Task.objects.create(
            workflow=owner, task_id=name, name=name, status="SUCCESSFUL", attempt=1,
            started_at=now + timedelta(seconds=begin), finished_at=now + timedelta(seconds=end),
        )  # fmt: skip
    text = text_of(signed_in(operator).get("/workflows/wf/timeline/"))
    assert 'x="0.000%" y="4" width="50.000%"' in text
    assert 'x="50.000%" y="4" width="50.000%"' in text


def test_events_are_listed_from_either_end(operator: User) -> None:
    fitted("wf", 120)
    client = signed_in(operator)
    newest = text_of(client.get("/workflows/wf/events/"))
    oldest = text_of(client.get("/workflows/wf/events/?sort=oldest"))
    assert 'id="e120"' in newest
    assert 'id="e1"' not in newest
    assert 'id="e1"' in oldest
    assert "100 of 120 events" in newest


@pytest.mark.parametrize(
    ("image", "is_shown"),
    [
        ({"type": "image/png", "data": "iVBORw0KGgo="}, True),
        ({"type": "image/svg+xml", "data": "PHN2Zz4="}, False),
        ({"type": "image/png", "data": '"><script>alert(1)</script>'}, False),
        ({"type": "text/html", "data": "aaaa"}, False),
        ("image", False),
        (None, False),
    ],
)
def test_only_real_pictures_are_shown(image: Any, is_shown: bool, operator: User) -> None:
    preview = {"type": "Image", "size": 9, "shape": [3, 4], "text": "a text", "json": None, "table": None,
               "image": image, "truncated": False}  # fmt: skip
    factories.workflow("one", output_preview=preview)
    text = text_of(signed_in(operator).get("/workflows/one/"))
    assert check_markup(text).faults == []
    assert ('class="picture"' in text) == is_shown
    assert ("a text" in text) != is_shown


def test_a_task_shows_the_values_that_it_was_given(operator: User, viewer: User) -> None:
    row = factories.workflow("one")
    given = {"type": "int", "size": 5, "shape": None, "text": "the answer is 42", "json": None,
             "table": None, "truncated": False}  # fmt: skip
    Task.objects.create(workflow=row, task_id="load", name="load", preview=given)
    Task.objects.create(workflow=row, task_id="fit", name="fit", upstream=["load"])
    text = text_of(signed_in(operator).get("/workflows/one/tasks/fit/"))
    assert check_markup(text).faults == []
    assert "the answer is 42" in text
    assert "the answer is 42" not in text_of(signed_in(viewer).get("/workflows/one/tasks/fit/"))
