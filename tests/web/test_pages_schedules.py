"""The pages of schedules: the list, the form with its next times, what became of the last ones, and actions."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.web import factories
from tests.web.fake_gateway import SCHEMA
from tests.web.pages import HOSTILE, check_markup, signed_in, statements, text_of
from workflows_app.models import Schedule, ScheduleRun

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("empty_queue", "engine"),
]

LIST = "/schedules/"
NEW = "/new-schedule/"
FORM = {
    "definition": "digits_training", "name": "nightly", "rule": "cron", "cron": "0 6 * * 1-5",
    "timezone": "Asia/Kathmandu", "every": "", "unit": "minutes", "overlap": "skip",
    "catch_up_seconds": "600", "jitter_seconds": "0", "p/folds": "4",
}  # fmt: skip


@pytest.fixture
def client(operator: User) -> Client:
    factories.definition("digits_training", params_schema=SCHEMA)
    return signed_in(operator)


def send(client: Client, address: str = NEW, **changes: str) -> Any:
    return client.post(address, FORM | changes, follow=True)


def test_a_schedule_is_made_and_shown(client: Client) -> None:
    empty = text_of(client.get(LIST))
    check_markup(empty)
    assert "No schedule yet" in empty
    check_markup(text_of(client.get(NEW)))
    form = text_of(client.get(f"{NEW}?definition=digits_training"))
    check_markup(form)
    assert '<option value="Europe/Lisbon">' in form
    made = text_of(send(client))
    check_markup(made)
    assert "The schedule nightly is saved" in made
    schedule = Schedule.objects.get()
    assert (schedule.cron, schedule.timezone, schedule.params) == (
        "0 6 * * 1-5", "Asia/Kathmandu", {"folds": 4},
    )  # fmt: skip
    assert len(re.findall(r"06:00:00 \+0545", made)) == 10
    assert len(re.findall(r"00:15:00</td>", made)) == 10  # in UTC
    assert 'href="/schedules/nightly/" data-row-link' in text_of(client.get(LIST))


def test_the_next_times_are_shown_before_it_is_saved(client: Client) -> None:
    text = text_of(send(client, preview="1", rule="interval", every="2", unit="hours"))
    check_markup(text)
    times = re.findall(r'<td class="num muted nowrap">(\S+ \S+)</td>', text)
    assert len(times) == 10
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "a b"}, "1 to 100 letters"),
        ({"cron": "every day"}, "is no cron line"),
        ({"cron": ""}, "Write a cron line"),
        ({"timezone": "Mars/Base"}, "is no time zone"),
        ({"rule": "interval", "every": "0"}, "greater than or equal to 1"),
        ({"rule": "interval", "every": "400", "unit": "days"}, "At most a year"),
        ({"jitter_seconds": "-1"}, "greater than or equal to 0"),
        ({"overlap": "explode"}, "not one of the available choices"),
        ({"p/folds": "1"}, "less than the minimum"),
    ],
)
def test_a_mistake_is_shown_where_it_is(client: Client, change: dict[str, str], words: str) -> None:
    answer = send(client, **change)
    assert answer.status_code == 400
    text = text_of(answer)
    check_markup(text)
    assert words in text
    assert "field-error" in text
    assert not Schedule.objects.exists()


def test_a_name_that_is_taken_is_told(client: Client) -> None:
    send(client)
    answer = send(client)
    assert answer.status_code == 400
    assert "There is a schedule" in text_of(answer)


def test_a_schedule_is_changed(client: Client) -> None:
    send(client)
    form = text_of(client.get(f"{LIST}nightly/edit/"))
    check_markup(form)
    assert 'value="0 6 * * 1-5"' in form
    assert 'value="4"' in form
    answer = send(client, f"{LIST}nightly/edit/", rule="interval", every="90", name="other")
    assert "is saved" in text_of(answer)
    schedule = Schedule.objects.get()
    assert (schedule.name, schedule.cron, schedule.every_seconds) == ("nightly", "", 5400)
    assert 'value="90"' in text_of(client.get(f"{LIST}nightly/edit/"))


def test_it_is_paused_run_and_deleted(client: Client) -> None:
    send(client)

    def act(verb: str, **more: str) -> str:
        return text_of(client.post(f"{LIST}nightly/actions/{verb}/", more, follow=True))

    paused = act("pause", reason=HOSTILE)
    check_markup(paused)
    assert "Paused" in paused
    assert Schedule.objects.get().paused
    assert "It goes on" in act("unpause")
    ran = act("trigger")
    run = ScheduleRun.objects.get()
    assert f"Launched as {run.workflow_id}" in ran
    assert f'href="/workflows/{run.workflow_id}/"' in ran
    check_markup(text_of(client.get(f"{LIST}nightly/actions/delete/")))
    assert Schedule.objects.exists()
    assert "is deleted" in act("delete")
    assert not Schedule.objects.exists()
    assert client.post(f"{LIST}nightly/actions/pause/").status_code == 404


def test_times_that_have_passed_are_made_up_for(client: Client) -> None:
    send(client, rule="interval", every="1", unit="hours", timezone="UTC")
    begun = timezone.now().replace(microsecond=0) - timedelta(hours=5)
    Schedule.objects.update(created_at=begun)
    span = {"start": f"{begun:%Y-%m-%d %H:%M:%S}", "end": f"{timezone.now():%Y-%m-%d %H:%M:%S}"}

    def backfill(**more: str) -> str:
        address = f"{LIST}nightly/actions/backfill/"
        return text_of(client.post(address, span | more, follow=True))

    assert "5 times have not run: " in backfill(preview="1")
    assert not ScheduleRun.objects.exists()
    assert "5 runs will follow" in backfill()
    assert ScheduleRun.objects.filter(origin="backfill", state="queued").count() == 5
    assert "Write the start as a date" in backfill(start="yesterday")
    assert "from a time to a later one" in backfill(end=span["start"])


def test_what_became_of_the_runs_is_shown(client: Client) -> None:
    send(client)
    schedule, now = Schedule.objects.get(), timezone.now()
    for hours, workflow_id, status in ((1, "a", "SUCCESSFUL"), (2, "b", "FAILED"), (3, "", "")):
        if workflow_id:
            factories.workflow(workflow_id, status)
        ScheduleRun.objects.create(
            schedule=schedule, due_at=now - timedelta(hours=hours), workflow_id=workflow_id,
            state="launched" if workflow_id else "missed", detail="" if workflow_id else HOSTILE,
        )  # fmt: skip
    with statements() as asked:
        text = text_of(client.get(f"{LIST}nightly/"))
    check_markup(text)
    assert len(asked) <= 8
    assert "1 of 2 runs below succeeded" in text
    assert "missed" in text


def test_who_may_not_manage_sees_no_buttons(client: Client, viewer: User) -> None:
    send(client)
    for address in (LIST, f"{LIST}nightly/"):
        text = text_of(signed_in(viewer).get(address))
        check_markup(text)
        assert "new-schedule" not in text
        assert 'action="/schedules/' not in text
