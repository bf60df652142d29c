"""Bulk operations over the API: preview, confirmation, control, and the same language as the list."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow
from tests.web.fake_gateway import FakeGateway
from tests.web.worker import deliver, refuse
from workflows_app import queries, seeding
from workflows_app.models import AuditEntry, BulkItem, BulkOperation, Workflow
from workflows_app.services import bulk_preview, sweep

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

URL = "/api/v1/bulk-operations/"


@pytest.fixture
def make_workflow(make_workflow: MakeWorkflow, engine: FakeGateway) -> MakeWorkflow:
    """Make workflows that the engine knows, too."""

    def make(workflow_id: str = "", **fields: Any) -> Workflow:
        workflow = make_workflow(workflow_id, **fields)
        engine.write(workflow.workflow_id, "accepted", root="main")
        engine.write(workflow.workflow_id, "status", status=workflow.status)
        return workflow

    return make


def post(api: Client, body: Any, url: str = URL) -> Any:
    return api.post(url, data=body, content_type="application/json")


def preview(api: Client, action: str = "resume", **selection: Any) -> dict[str, Any]:
    body = {"action": action, "selection": selection, "dry_run": True}
    answer = post(api, body)
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def confirmed(api: Client, shown: dict[str, Any], **more: Any) -> Any:
    return post(api, {"confirm_token": shown["confirm_token"], **more})


def test_a_query_is_previewed_confirmed_and_carried_out(
    api: Client, make_workflow: MakeWorkflow, engine: FakeGateway
) -> None:
    for number in range(3):
        make_workflow(f"f{number}", status="FAILED", definition="etl")
    make_workflow("busy", status="FAILED", definition="etl", pending_command="delete")
    make_workflow("other", status="FAILED", definition="training")
    make_workflow("done", status="SUCCESSFUL", definition="etl")
    shown = preview(api, q="definition:etl")
    assert (shown["matched"], shown["eligible"]) == (5, 3)
    assert shown["by_status"] == {"FAILED": 4, "SUCCESSFUL": 1}
    assert shown["by_definition"] == {"etl": 5}
    assert sum(shown["ineligible"].values()) == 2
    assert sorted(shown["sample"]) == ["busy", "done", "f0", "f1", "f2"]
    assert BulkOperation.objects.count() == 0
    answer = confirmed(api, shown, reason="fixed the input")
    assert answer.status_code == 202
    url = answer.headers["Location"]
    deliver()
    bulk = api.get(url).json()
    assert (bulk["state"], bulk["total"], bulk["done"], bulk["skipped"]) == ("SUCCEEDED", 5, 3, 2)
    assert bulk["selection"]["query"] == "definition:etl"
    assert bulk["reason"] == "fixed the input"
    assert sorted(engine.calls) == [("resume", f"f{n}") for n in range(3)]
    items = api.get(url + "items/", {"state": "skipped"}).json()["items"]
    assert [item["workflow_id"] for item in items] == ["busy", "done"]
    assert "it is SUCCESSFUL" in items[1]["detail"]
    assert [each["id"] for each in api.get(URL).json()["items"]] == [bulk["id"]]
    assert AuditEntry.objects.get(verb="bulk resume").detail["reason"] == "fixed the input"


def test_a_confirmation_that_is_repeated_starts_nothing_more(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("a", status="FAILED")
    shown = preview(api, ids=["a", "a"])
    first, second = confirmed(api, shown), confirmed(api, shown)
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert BulkOperation.objects.count() == 1


def test_relative_times_are_those_of_the_preview(
    api: Client, make_workflow: MakeWorkflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    make_workflow("a", status="FAILED", created_at=now - timedelta(minutes=59))
    shown = preview(api, q="created:-1h")
    assert shown["sample"] == ["a"]
    later = now + timedelta(minutes=10)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert confirmed(api, shown).json()["total"] == 1


def test_a_preview_that_no_longer_fits_is_stale(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow(status="FAILED")
    shown = preview(api, q="status:FAILED")
    for _ in range(11):
        make_workflow(status="FAILED")
    problem = assert_problem(confirmed(api, shown), 409, "preview_stale")
    assert problem["preview"] == {"matched": 12}
    assert BulkOperation.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "Ask for a preview first"),
        ({"action": "resume", "selection": {"q": "status:FAILED"}}, "Ask for a preview first"),
        ({"action": "resume", "selection": {}, "dry_run": True}, "A selection is one of"),
        ({"action": "resume", "selection": {"q": " "}, "dry_run": True}, "may not be blank"),
        ({"action": "resume", "selection": {"q": "*", "all": True}, "dry_run": True}, "is one of"),
        ({"action": "explode", "selection": {"all": True}, "dry_run": True}, "not a valid choice"),
        ({"confirm_token": "forged"}, "damaged"),
        ({"confirm_token": 5}, "damaged"),
    ],
)
def test_what_is_no_request_is_refused(api: Client, body: dict[str, Any], says: str) -> None:
    answer = post(api, body)
    assert answer.status_code == 400
    assert says in answer.content.decode()
    assert BulkOperation.objects.count() == 0


def test_a_bad_query_is_pointed_at(api: Client) -> None:
    answer = post(api, {"action": "resume", "selection": {"q": "statu:FAILED"}, "dry_run": True})
    problem = assert_problem(answer, 400, "bad_query")
    assert problem["errors"][0]["position"] == 0


def test_a_token_expires_and_belongs_to_one_account(
    api: Client, client_for: ClientFor, operator: User, make_workflow: MakeWorkflow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make_workflow("a", status="FAILED")
    shown = preview(api, ids=["a"])
    assert "another account" in confirmed(client_for(operator), shown).json()["detail"]
    monkeypatch.setattr(bulk_preview, "VALID_FOR", timedelta(seconds=-1))
    assert "older than 15 minutes" in confirmed(api, shown).json()["detail"]


def test_deletes_and_large_selections_need_a_reason(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    make_workflow("a", status="FAILED")
    shown = preview(api, "delete", ids=["a"])
    assert shown["needs_reason"]
    assert "Give a reason" in confirmed(api, shown, reason="  ").json()["detail"]
    assert confirmed(api, shown, reason="old").status_code == 202


def test_permissions(
    client_for: ClientFor, viewer: User, operator: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("a", status="FAILED")
    asked = {"action": "resume", "selection": {"ids": ["a"]}, "dry_run": True}
    assert_problem(post(client_for(viewer), asked), 403, "forbidden")
    omar = client_for(operator)
    assert preview(omar, ids=["a"])["eligible"] == 1
    everything = {"action": "resume", "selection": {"all": True}, "dry_run": True}
    assert "'bulk_all'" in assert_problem(post(omar, everything), 403, "forbidden")["detail"]
    deletes = {"action": "delete", "selection": {"ids": ["a"]}, "dry_run": True}
    assert "'delete_workflow'" in assert_problem(post(omar, deletes), 403, "forbidden")["detail"]


def test_an_account_has_limits(
    client_for: ClientFor, operator: User, make_workflow: MakeWorkflow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    api = client_for(operator)
    for number in range(4):
        make_workflow(f"w{number}", status="FAILED")
    monkeypatch.setattr(bulk_preview, "MOST_ITEMS", 1)
    problem = assert_problem(confirmed(api, preview(api, q="status:FAILED")), 409, "too_many")
    assert "bulk_unlimited" in problem["detail"]
    for number in range(3):
        assert confirmed(api, preview(api, ids=[f"w{number}"])).status_code == 202
    assert_problem(confirmed(api, preview(api, ids=["w3"])), 409, "too_many")


def test_an_operation_is_paused_continued_aborted_and_repeated(
    api: Client, make_workflow: MakeWorkflow, engine: FakeGateway
) -> None:
    for name in ("a", "b"):
        make_workflow(name, status="FAILED")
    url = confirmed(api, preview(api, q="status:FAILED")).headers["Location"]
    act = lambda verb: post(api, None, f"{url}actions/{verb}/")  # noqa: E731
    assert act("pause").json()["state"] == "PAUSED"
    deliver()
    assert engine.calls == []
    assert_problem(act("pause"), 409, "state_conflict")
    assert_problem(act("retry-failed"), 409, "state_conflict")
    assert act("unpause").json()["state"] == "RUNNING"
    real_resume = engine.resume
    engine.resume = refuse  # type: ignore[method-assign]
    deliver()
    assert api.get(url).json()["state"] == "FAILED"
    engine.resume = real_resume  # type: ignore[method-assign]
    again = act("retry-failed").json()
    assert (again["state"], again["failed"], again["finished_at"]) == ("QUEUED", 0, None)
    deliver()
    ended = api.get(url).json()
    assert (ended["state"], ended["done"], ended["failed"]) == ("SUCCEEDED", 2, 0)
    assert_problem(act("retry-failed"), 409, "state_conflict")
    assert_problem(act("abort"), 409, "state_conflict")
    assert_problem(act("explode"), 404, "not_found")


def test_a_paused_operation_can_be_aborted(api: Client, make_workflow: MakeWorkflow) -> None:
    make_workflow("a", status="FAILED")
    url = confirmed(api, preview(api, ids=["a"])).headers["Location"]
    post(api, None, f"{url}actions/pause/")
    aborted = post(api, None, f"{url}actions/abort/").json()
    assert (aborted["state"], aborted["skipped"]) == ("ABORTED", 1)


def test_an_operation_stops_after_so_many_failures(
    api: Client, make_workflow: MakeWorkflow, engine: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows_app.services.bulk.CHUNK", 2)
    for _ in range(6):
        make_workflow(status="FAILED")
    engine.resume = refuse  # type: ignore[method-assign]
    shown = preview(api, q="status:FAILED")
    url = confirmed(api, shown, stop_after_failures=2).headers["Location"]
    deliver()
    bulk = api.get(url).json()
    assert (bulk["state"], bulk["failed"], bulk["skipped"]) == ("FAILED", 2, 4)
    assert BulkItem.objects.filter(detail="2 others have failed before").count() == 4


def test_no_more_are_under_way_at_a_time_than_asked_for(
    api: Client, make_workflow: MakeWorkflow, engine: FakeGateway
) -> None:
    for _ in range(5):
        make_workflow(status="FAILED")
    url = confirmed(api, preview(api, q="status:FAILED"), concurrency=2).headers["Location"]
    under_way: list[int] = []  # the commands of a chunk run in threads

    def resume(_: str) -> None:
        under_way.append(BulkItem.objects.filter(state="sent").count())

    engine.resume = resume  # type: ignore[method-assign]
    deliver()
    assert max(under_way) == 2
    bulk = api.get(url).json()
    assert (bulk["state"], bulk["done"], bulk["concurrency"]) == ("SUCCEEDED", 5, 2)


def test_no_more_are_sent_in_a_time_than_asked_for(
    api: Client, make_workflow: MakeWorkflow
) -> None:
    for _ in range(5):
        make_workflow(status="FAILED")
    url = confirmed(api, preview(api, q="status:FAILED"), rate=0.4).headers["Location"]
    hour = timezone.now() - timedelta(hours=1)
    BulkOperation.objects.update(created_at=hour)
    for done in (2, 4):
        deliver()
        sweep()
        deliver()
        bulk = BulkOperation.objects.get()
        assert (bulk.state, bulk.done) == ("RUNNING", done)
        assert 3 < (bulk.not_before - timezone.now()).total_seconds() <= 5
        BulkOperation.objects.update(not_before=hour)
        sweep()
    deliver()
    assert api.get(url).json()["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    "pace", [{"rate": 0}, {"rate": "fast"}, {"concurrency": 0}, {"concurrency": 101}]
)
def test_a_pace_that_is_none_is_refused(
    api: Client, make_workflow: MakeWorkflow, pace: dict[str, Any]
) -> None:
    make_workflow("a", status="FAILED")
    shown = preview(api, ids=["a"])
    assert_problem(confirmed(api, shown, **pace), 400, "validation_error")
    assert not BulkOperation.objects.exists()


def test_what_the_list_shows_is_what_a_bulk_operation_means(api: Client) -> None:
    seeding.seed(400, timezone.now())
    random_ = random.Random(7)
    for _ in range(50):
        text = _random_query(random_)
        listed = set(queries.search(Workflow.objects.all(), q=text).values_list("id", flat=True))
        shown = preview(api, "cancel", q=text)
        assert shown["matched"] == len(listed), text
        assert sum(shown["by_status"].values()) == len(listed), text
        if not listed:
            continue
        bulk = confirmed(api, shown, reason="try").json()
        frozen = set(
            BulkItem.objects.filter(bulk_id=bulk["id"]).values_list("workflow_id", flat=True)
        )
        ids = Workflow.objects.filter(id__in=listed).values_list("workflow_id", flat=True)
        assert frozen == set(ids), text


def test_a_thousand_random_queries_mean_the_same_to_both(operator: User) -> None:
    seeding.seed(400, timezone.now())
    random_, now, found = random.Random(11), timezone.now(), 0
    for _ in range(1000):
        text = _random_query(random_)
        listed = queries.search(Workflow.objects.all(), q=text, now=now)
        meant = bulk_preview.Selection("cancel", q=text).workflows(operator, now)
        ids = set(meant.values_list("workflow_id", flat=True))
        assert ids == set(listed.values_list("workflow_id", flat=True)), text
        found += bool(ids)
    assert found > 300


def _random_query(random_: random.Random) -> str:
    terms = {
        "status": lambda: random_.choice(
            ["FAILED", "!SUCCESSFUL", "[RUNNING,PENDING]", "CANCELED"]
        ),
        "definition": lambda: random_.choice(["etl*", "training_0*", "report_03", "!etl_01"]),
        "created": lambda: random_.choice(["-1h", ">-30m", "<-20m", "-2h..-30m"]),
        "duration": lambda: random_.choice([">1m", "<=5m", "1s..4m", "none"]),
        "tag.team": lambda: random_.choice(["ml", "[ml,web]", "!data"]),
        "meta.customer": lambda: str(random_.randrange(1, 400)),
        "user": lambda: f"user{random_.randrange(20)}",
        "error": lambda: random_.choice(["CUDA", "none", '"no such file"']),
    }
    chosen = random_.sample(sorted(terms), random_.randint(1, 3))
    return " ".join(["created:-7d", *(f"{key}:{terms[key]()}" for key in chosen)])
