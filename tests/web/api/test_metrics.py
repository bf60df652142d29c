"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from tests.web.api.checks import assert_problem
from tests.web.api.conftest import ClientFor, MakeWorkflow
from workflows_app import projection, rollups, services
from workflows_app.models import Workflow


def test_the_numbers_are_those_of_the_registry(
    api: Client, administrator: User, make_workflow: MakeWorkflow
) -> None:
    make_workflow("a", status="RUNNING", definition="etl")
    make_workflow("b", status="FAILED", definition='odd "name"\n')
    make_workflow("c", status="FAILED")
    rollups.rebuild()
    services.request(administrator, "cancel", Workflow.objects.get(workflow_id="a"))
    projection.note_follower(heartbeat_at=timezone.now(), engine_reachable=True)

    answer = api.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = {f.name: f for f in text_string_to_metric_families(answer.content.decode())}
    counted = {
        (s.labels["status"], s.labels["definition"]): s.value
        for s in families["rayflow_workflows"].samples
    }
    assert counted == {
        ("RUNNING", "etl"): 1, ("FAILED", 'odd "name"\n'): 1, ("FAILED", ""): 1,
    }  # fmt: skip
    (command,) = families["rayflow_open_commands"].samples
    assert (command.labels, command.value) == ({"kind": "cancel"}, 1)
    assert families["rayflow_engine_reachable"].samples[0].value == 1
    assert 0 <= families["rayflow_follower_age_seconds"].samples[0].value < 60


def test_they_are_not_for_everybody(client: Client, client_for: ClientFor, nobody: User) -> None:
    assert_problem(client.get("/metrics"), 401, "unauthenticated")
    assert_problem(client_for(nobody).get("/metrics"), 403, "forbidden")
