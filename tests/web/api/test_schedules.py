"""Schedules over the API, and what beat does with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app import services
from workflows_app.models import AuditEntry, Command, Definition, Schedule, ScheduleRun, Workflow

URL = "/api/v1/schedules/"
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}

SetClock = Callable[[datetime], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    def set_to(moment: datetime) -> None:
        monkeypatch.setattr(timezone, "now", lambda: moment)

    set_to(NOON)
    return set_to


@pytest.fixture(autouse=True)
def etl(db: None) -> Definition:
    return Definition.objects.create(name="etl", params_schema=SCHEMA)


def send(api: Client, method: str, path: str = "", body: Any = None) -> Any:
    return api.generic(method, URL + path, _json(body), content_type="application/json")


def _json(body: Any) -> str:
    return "" if body is None else json.dumps(body, default=str)


def make(api: Client, **settings: Any) -> dict[str, Any]:
    body = {"name": "nightly", "definition": "etl", "every_seconds": 3600, **settings}
    answer = send(api, "POST", body=body)
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def states() -> list[tuple[str, str]]:
    rows = ScheduleRun.objects.order_by("due_at").values_list("due_at", "state")
    return [(f"{due:%H:%M}", state) for due, state in rows]


def ended(run: ScheduleRun, make_workflow: MakeWorkflow, status: str = "SUCCESSFUL") -> None:
    """The run's command was carried out, and its workflow is in the registry."""
    Command.objects.filter(workflow_id=run.workflow_id).update(
        state="SUCCEEDED", finished_at=timezone.now()
    )
    Workflow.objects.filter(workflow_id=run.workflow_id).delete()
    make_workflow(run.workflow_id, status=status)


def test_a_schedule_is_made_changed_and_deleted(api: Client, clock: SetClock) -> None:
    made = make(
        api, every_seconds=None, cron="0 6 * * *", timezone="Europe/Lisbon", params={"n": 1}
    )
    assert made["next_run_at"] == "2026-06-02T05:00:00.000000Z"
    assert (made["overlap"], made["created_by"], made["paused"]) == ("skip", "ada", False)
    assert api.get(URL + "nightly/").json() == made
    assert [each["name"] for each in api.get(URL).json()["items"]] == ["nightly"]
    shown = api.get(URL + "nightly/preview/", {"count": 2}).json()
    assert shown["times"] == ["2026-06-02T05:00:00.000000Z", "2026-06-03T05:00:00.000000Z"]
    assert shown["local"][0] == "2026-06-02 06:00:00 WEST"
    changed = send(api, "PUT", "nightly/", {"definition": "etl", "every_seconds": 60}).json()
    assert (changed["cron"], changed["every_seconds"], changed["params"]) == ("", 60, {})
    assert changed["created_at"] == made["created_at"]
    assert send(api, "DELETE", "nightly/").json()["every_seconds"] == 60
    assert_problem(api.get(URL + "nightly/"), 404, "not_found")
    verbs = list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))
    assert verbs == ["create schedule", "change schedule", "delete schedule"]


def test_a_dry_run_shows_the_next_times_and_makes_nothing(api: Client, clock: SetClock) -> None:
    body = {"name": "x", "definition": "etl", "cron": "0 0 * * *", "dry_run": True}
    answer = send(api, "POST", body=body)
    assert answer.status_code == 200
    assert len(answer.json()["times"]) == 10
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "a/b"}, 400, "validation_error"),
        ({"name": ""}, 400, "validation_error"),
        ({"definition": "ghost"}, 404, "unknown_definition"),
        ({"params": {"n": "x"}}, 400, "invalid_parameters"),
        ({"cron": "0 0 * * *"}, 400, "validation_error"),
        ({"every_seconds": 0}, 400, "validation_error"),
        ({"every_seconds": 10**12}, 400, "validation_error"),
        ({"timezone": "Nowhere"}, 400, "validation_error"),
        ({"overlap": "never"}, 400, "validation_error"),
        ({"jitter_seconds": -1}, 400, "validation_error"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(
    api: Client, body: dict[str, Any], status: int, code: str
) -> None:
    full = {"name": "x", "definition": "etl", "every_seconds": 60, **body}
    assert_problem(send(api, "POST", body=full), status, code)
    assert not Schedule.objects.exists()


def test_a_name_is_taken_once(api: Client) -> None:
    make(api)
    body = {"name": "nightly", "definition": "etl", "every_seconds": 60}
    assert_problem(send(api, "POST", body=body), 409, "schedule_exists")


def test_schedules_are_seen_by_viewers_and_managed_by_operators(
    client_for: ClientFor, viewer: User, operator: User
) -> None:
    make(client_for(operator))
    looking = client_for(viewer)
    assert looking.get(URL + "nightly/").status_code == 200
    for method, path in (("POST", ""), ("PUT", "nightly/"), ("DELETE", "nightly/"),
                         ("POST", "nightly/actions/trigger/"), ("POST", "nightly/backfill/")):  # fmt: skip
        problem = assert_problem(send(looking, method, path, {}), 403, "forbidden")
        assert "manage_schedule" in problem["detail"]


def test_a_time_is_kept_once_however_often_beat_asks(api: Client, clock: SetClock) -> None:
    make(api, params={"n": 7}, tags={"team": "ml"})
    services.tick()
    assert not Command.objects.exists()
    clock(NOON + timedelta(hours=1, seconds=3))
    for _ in range(3):
        services.tick()
    command = Command.objects.get()
    assert (command.kind, command.workflow_id) == ("launch", "nightly-20260601T130000")
    assert command.payload["params"] == {"n": 7}
    assert command.payload["tags"] == {"team": "ml", "schedule": "nightly"}
    assert command.created_by is not None
    assert command.created_by.username == "ada"
    assert states() == [("13:00", "launched")]
    assert api.get(URL + "nightly/").json()["next_run_at"] == "2026-06-01T14:00:00.000000Z"
    (run,) = api.get(URL + "nightly/runs/").json()["items"]
    assert (run["workflow_id"], run["origin"]) == ("nightly-20260601T130000", "time")


def test_times_that_passed_while_nobody_looked_are_caught_up_or_missed(
    api: Client, clock: SetClock, make_workflow: MakeWorkflow
) -> None:
    make(api, overlap="allow", catch_up_seconds=5400)
    clock(NOON + timedelta(hours=4, minutes=10))
    services.tick()
    assert states() == [
        ("13:00", "missed"), ("14:00", "missed"), ("15:00", "launched"), ("16:00", "launched"),
    ]  # fmt: skip
    missed = ScheduleRun.objects.order_by("due_at")[0]
    assert "the catch-up window is shorter" in missed.detail


@pytest.mark.parametrize(
    ("overlap", "second"),
    [("skip", "skipped"), ("queue", "queued"), ("cancel_other", "launched"), ("allow", "launched")],
)
def test_a_run_that_has_not_ended_is_treated_as_the_policy_says(
    api: Client, clock: SetClock, make_workflow: MakeWorkflow, overlap: str, second: str
) -> None:
    make(api, overlap=overlap)
    clock(NOON + timedelta(hours=1))
    services.tick()
    first = ScheduleRun.objects.get()
    ended(first, make_workflow, "RUNNING")
    clock(NOON + timedelta(hours=2))
    services.tick()
    assert states() == [("13:00", "launched"), ("14:00", second)]
    cancels = Command.objects.filter(kind="cancel", workflow_id=first.workflow_id).count()
    assert cancels == (1 if overlap == "cancel_other" else 0)
    if overlap == "queue":
        services.tick()
        assert states()[1] == ("14:00", "queued")
        ended(first, make_workflow)
        clock(NOON + timedelta(hours=2, minutes=5))
        services.tick()
        assert states()[1] == ("14:00", "launched")


def test_a_launch_that_is_not_in_the_registry_yet_counts_as_running(
    api: Client, clock: SetClock
) -> None:
    make(api, every_seconds=60)
    clock(NOON + timedelta(seconds=60))
    services.tick()
    clock(NOON + timedelta(seconds=120))
    services.tick()
    assert [state for _, state in states()] == ["launched", "skipped"]


def test_a_paused_schedule_leaves_its_times_out(api: Client, clock: SetClock) -> None:
    make(api)
    paused = send(api, "POST", "nightly/actions/pause/", {"reason": "broken input"}).json()
    assert (paused["paused"], paused["pause_reason"]) == (True, "broken input")
    clock(NOON + timedelta(hours=5))
    services.tick()
    assert states() == []
    unpaused = send(api, "POST", "nightly/actions/unpause/").json()
    assert (unpaused["paused"], unpaused["next_run_at"]) == (False, "2026-06-01T18:00:00.000000Z")
    services.tick()
    assert states() == []
    assert_problem(send(api, "POST", "nightly/actions/explode/"), 404, "not_found")


def test_a_schedule_is_triggered_now(api: Client, clock: SetClock) -> None:
    make(api, overlap="skip")
    answer = send(api, "POST", "nightly/actions/trigger/")
    assert answer.status_code == 202
    assert answer.json()["workflow_id"] == "nightly-20260601T120000"
    clock(NOON + timedelta(microseconds=5))
    again = send(api, "POST", "nightly/actions/trigger/").json()
    assert again["workflow_id"] == "nightly-20260601T120000-000005"
    assert Command.objects.count() == 2


def test_a_backfill_runs_what_has_not_run_one_after_the_other(
    api: Client, clock: SetClock, make_workflow: MakeWorkflow
) -> None:
    make(api)
    clock(NOON + timedelta(hours=1))
    services.tick()
    ended(ScheduleRun.objects.get(), make_workflow)
    clock(NOON + timedelta(hours=2))
    send(api, "POST", "nightly/actions/pause/")
    clock(NOON + timedelta(hours=4, minutes=30))
    send(api, "POST", "nightly/actions/unpause/")
    asked = {"start": NOON, "end": NOON + timedelta(hours=4, minutes=1), "dry_run": True}
    shown = send(api, "POST", "nightly/backfill/", asked)
    assert (shown.status_code, len(shown.json()["times"])) == (200, 4)  # 12:00 is its anchor
    assert ScheduleRun.objects.count() == 1
    answer = send(api, "POST", "nightly/backfill/", {**asked, "dry_run": False})
    assert answer.status_code == 202
    for _ in range(5):
        services.tick()
        for run in ScheduleRun.objects.filter(state="launched"):
            ended(run, make_workflow)
    assert [state for _, state in states()] == ["launched"] * 5
    assert {run.origin for run in ScheduleRun.objects.all()} == {"time", "backfill"}
    for wrong in ({"start": NOON, "end": NOON}, {"start": NOON, "end": NOON + timedelta(days=9)}):
        assert_problem(send(api, "POST", "nightly/backfill/", wrong), 400, "validation_error")
    many = {"start": NOON - timedelta(days=60), "end": NOON, "dry_run": True}
    assert send(api, "POST", "nightly/backfill/", many).json()["times"] == []


def test_a_launch_that_is_refused_is_told_and_the_next_time_is_tried(
    api: Client, clock: SetClock, etl: Definition
) -> None:
    make(api)
    etl.available = False
    etl.save()
    clock(NOON + timedelta(hours=1))
    services.tick()
    run = ScheduleRun.objects.get()
    assert run.state == "failed"
    assert "There is no definition 'etl'" in run.detail
    etl.available = True
    etl.save()
    clock(NOON + timedelta(hours=2))
    services.tick()
    assert states()[1] == ("14:00", "launched")


def test_runs_are_launched_in_the_name_of_the_owner_with_the_permissions_of_now(
    client_for: ClientFor, operator: User, clock: SetClock
) -> None:
    make(client_for(operator))
    operator.groups.clear()
    clock(NOON + timedelta(hours=1))
    services.tick()
    assert "start_workflow" in ScheduleRun.objects.get().detail
    operator.delete()
    clock(NOON + timedelta(hours=2))
    services.tick()
    assert "the account of the schedule is gone" in ScheduleRun.objects.latest("due_at").detail


def test_jitter_delays_the_launch_and_not_the_time(api: Client, clock: SetClock) -> None:
    made = make(api, jitter_seconds=600)
    starts = datetime.fromisoformat(made["next_run_at"])
    assert NOON + timedelta(hours=1) < starts < NOON + timedelta(hours=1, minutes=10)
    clock(starts - timedelta(seconds=1))
    services.tick()
    assert states() == []
    clock(starts)
    services.tick()
    assert states() == [("13:00", "launched")]
