"""Services: commands are asked for once, carried out once, and survive what may die."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, current_app
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from tests.web.fake_gateway import SCHEMA, FakeGateway
from tests.web.worker import deliver, lose_everything, refuse
from workflows_app import rules, services
from workflows_app.follower import Follower
from workflows_app.gateway import EngineProblem
from workflows_app.models import (
    AuditEntry,
    Command,
    Definition,
    Workflow,
)
from workflows_app.problems import Conflict, Forbidden, Invalid, Mismatch, NotFound

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]


@pytest.fixture
def digits(db: None) -> Definition:
    """The one definition of these tests."""
    return Definition.objects.create(name="digits", params_schema=SCHEMA)


# --- launch -------------------------------------------------------------------------------------


def test_a_launch_becomes_a_workflow(
    operator: User, digits: Definition, engine: FakeGateway
) -> None:
    command = services.launch(operator, definition="digits", params={"folds": 3})
    assert (command.state, command.kind) == ("QUEUED", "launch")
    assert command.workflow_id.startswith("digits-")
    assert deliver() == 1
    command.refresh_from_db()
    assert (command.state, command.attempts, command.problem) == ("SUCCEEDED", 1, None)
    accepted = engine.journals[command.workflow_id][0]
    assert accepted.data["params"] == {"folds": 3}
    assert accepted.data["created_by"] == "omar"
    entry = AuditEntry.objects.get(verb="launch")
    assert (entry.actor, entry.target) == ("omar", command.workflow_id)


def test_a_launch_needs_the_permission(viewer: User, digits: Definition) -> None:
    with pytest.raises(Forbidden, match="start_workflow"):
        services.launch(viewer, definition="digits", params={})
    assert not Command.objects.exists()


def test_a_launch_of_an_unknown_definition_names_those_that_exist(
    operator: User, digits: Definition
) -> None:
    with pytest.raises(NotFound, match="available are: digits"):
        services.launch(operator, definition="digit", params={})


@pytest.mark.parametrize(
    ("params", "pointer"),
    [({"folds": 1}, "/folds"), ({"folds": "x"}, "/folds"), ({"a/b": 1}, "")],
)
def test_parameters_that_do_not_fit_arerefused_with_a_pointer(
    operator: User, digits: Definition, params: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as caught:
        services.launch(operator, definition="digits", params=params)
    assert caught.value.errors[0]["pointer"] == pointer


@pytest.mark.parametrize("odd", ["", "a/b", "..", ".", "x" * 201, "ü", "a b", "a\n"])
def test_an_odd_id_isrefused(operator: User, digits: Definition, odd: str) -> None:
    with pytest.raises(Invalid, match="cannot be a workflow id"):
        services.launch(operator, definition="digits", params={}, workflow_id=odd)


def test_a_taken_id_is_a_conflict(
    operator: User, digits: Definition, make_workflow: Callable[..., Workflow]
) -> None:
    make_workflow("w1", "SUCCESSFUL")
    with pytest.raises(Conflict, match="already a workflow 'w1'"):
        services.launch(operator, definition="digits", params={}, workflow_id="w1")
    services.launch(operator, definition="digits", params={}, workflow_id="w2")
    with pytest.raises(Conflict, match="already a workflow 'w2'"):
        services.launch(operator, definition="digits", params={}, workflow_id="w2")


def test_the_same_idempotency_key_gives_the_same_command(
    operator: User, digits: Definition
) -> None:
    first = services.launch(operator, definition="digits", params={}, idempotency_key="k")
    again = services.launch(operator, definition="digits", params={}, idempotency_key="k")
    assert (again.id, again.replayed, first.replayed) == (first.id, True, False)
    with pytest.raises(Mismatch):
        services.launch(operator, definition="digits", params={"folds": 4}, idempotency_key="k")


# --- cancel, resume, delete ---------------------------------------------------------------------


def test_a_cancel_shows_as_pending_until_the_journal_confirms_it(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    workflow = make_workflow("w1", "RUNNING")
    services.request(operator, "cancel", workflow)
    assert Workflow.objects.get().pending_command == "cancel"
    deliver()
    shown = Workflow.objects.get()
    assert (shown.status, shown.pending_command) == ("RUNNING", "cancel")
    Follower(engine).follow(["w1"])
    shown.refresh_from_db()
    assert (shown.status, shown.pending_command) == ("CANCELED", None)


def test_a_suspend_shows_as_pending_until_the_journal_confirms_it(
    operator: User, make_workflow: Callable[..., Workflow], follower: Follower, engine: FakeGateway
) -> None:
    workflow = make_workflow("w1", "RUNNING")
    services.request(operator, "suspend", workflow)
    deliver()
    shown = Workflow.objects.get()
    assert (shown.status, shown.pending_command) == ("RUNNING", "suspend")
    assert engine.calls == [("suspend", "w1")]
    follower.step(0)
    shown.refresh_from_db()
    assert (shown.status, shown.pending_command) == ("RESUMABLE", None)


@pytest.mark.parametrize("status", sorted(rules.ALLOWED["cancel"] | rules.ALLOWED["delete"]))
@pytest.mark.parametrize("kind", rules.ALLOWED)
def test_a_command_is_accepted_in_its_statuses_and_refused_in_all_others(
    administrator: User, make_workflow: Callable[..., Workflow], kind: str, status: str
) -> None:
    workflow = make_workflow("w1", status)
    if status in rules.ALLOWED[kind]:
        assert services.request(administrator, kind, workflow).state == "QUEUED"
    else:
        with pytest.raises(Conflict, match=status):
            services.request(administrator, kind, workflow)
        assert Workflow.objects.get().pending_command is None


def test_a_second_command_while_one_is_under_way_is_a_conflict(
    operator: User, make_workflow: Callable[..., Workflow]
) -> None:
    workflow = make_workflow("w1", "RUNNING")
    services.request(operator, "cancel", workflow)
    with pytest.raises(Conflict) as caught:
        services.request(operator, "cancel", Workflow.objects.get())
    assert caught.value.code == "command_pending"
    assert Command.objects.count() == 1


def test_an_operator_may_not_delete(operator: User, make_workflow: Callable[..., Workflow]) -> None:
    with pytest.raises(Forbidden, match="delete_workflow"):
        services.request(operator, "delete", make_workflow("w1", "FAILED"))


def test_a_deleted_workflow_disappears_with_its_journal(
    administrator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    services.request(administrator, "delete", make_workflow("w1", "SUCCESSFUL"), reason="old")
    deliver()
    Follower(engine).follow(["w1"])
    assert not Workflow.objects.exists()
    assert AuditEntry.objects.get(verb="delete").detail["reason"] == "old"


def test_a_resume_is_pending_until_the_journal_says_that_it_runs(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    row = make_workflow("w1", "FAILED")
    services.request(operator, "resume", row)
    deliver()
    row.refresh_from_db()
    # Who waits for the end must not take the old failure for the outcome of the resume.
    assert (row.status, row.pending_command) == ("FAILED", "resume")
    Workflow.objects.filter(pk=row.pk).update(status="RUNNING")
    services.sweep()
    row.refresh_from_db()
    assert row.pending_command == "resume"


def test_a_resume_after_which_nothing_happened_does_not_stay_pending_for_ever(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    row = make_workflow("w1", "FAILED")
    command = services.request(operator, "resume", row)
    deliver()
    services.sweep()
    row.refresh_from_db()
    assert row.pending_command == "resume"
    long_ago = timezone.now() - timedelta(minutes=5)
    Command.objects.filter(pk=command.pk).update(finished_at=long_ago)
    services.sweep()
    row.refresh_from_db()
    assert row.pending_command is None


# --- the state machine --------------------------------------------------------------------------


def test_a_command_delivered_twice_is_carried_out_once(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    command = services.request(operator, "resume", make_workflow("w1", "FAILED"))
    services.run_commands([str(command.id)])
    services.run_commands([str(command.id)])
    assert engine.calls == [("resume", "w1")]


def test_a_command_waits_for_an_engine_that_cannot_be_reached(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    command = services.request(operator, "cancel", make_workflow("w1", "RUNNING"))
    engine.is_down = True
    deliver()
    command.refresh_from_db()
    assert command.state == "QUEUED"
    assert command.problem is not None
    assert command.problem["code"] == "engine_unavailable"
    assert command.not_before > timezone.now()
    engine.is_down = False
    _age(command, seconds=60)
    assert services.sweep() == 1
    deliver()
    command.refresh_from_db()
    assert (command.state, command.attempts) == ("SUCCEEDED", 2)


def test_a_refusal_of_the_engine_fails_the_command_and_frees_the_workflow(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    command = services.request(operator, "resume", make_workflow("w1", "FAILED"))
    engine.resume = refuse  # type: ignore[method-assign]
    deliver()
    command.refresh_from_db()
    assert command.state == "FAILED"
    assert command.problem is not None
    assert command.problem["detail"] == "Checkpoints are missing."
    assert Workflow.objects.get().pending_command is None


def test_a_command_whose_worker_was_killed_is_sent_again_by_the_sweep(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    command = services.request(operator, "cancel", make_workflow("w1", "RUNNING"))
    # The worker took the command, reached the engine, and died before noting it.
    Command.objects.update(state="RUNNING", attempts=1, started_at=timezone.now())
    engine.cancel("w1")
    assert services.sweep() == 0
    _age(command, seconds=60)
    assert services.sweep() == 1
    deliver()
    command.refresh_from_db()
    assert (command.state, command.attempts) == ("SUCCEEDED", 2)
    assert [record.kind for record in engine.journals["w1"]].count("cancel_requested") == 1


def test_a_worker_thought_dead_does_not_overrule_the_one_that_took_over(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    command = services.request(operator, "cancel", make_workflow("w1", "RUNNING"))
    real_cancel = engine.cancel

    def slow_cancel(workflow_id: str) -> None:
        # While this worker is in the engine, the sweep gives the command to another one.
        engine.cancel = real_cancel  # type: ignore[method-assign]
        Command.objects.filter(id=command.id).update(state="QUEUED")
        services.run_commands([str(command.id)])
        raise EngineProblem("x", title="x", detail="too late", status=500)

    engine.cancel = slow_cancel  # type: ignore[method-assign]
    services.run_commands([str(command.id)])
    command.refresh_from_db()
    assert (command.state, command.attempts) == ("SUCCEEDED", 2)


def test_a_command_lost_by_redis_is_sent_again_but_not_every_five_seconds(
    operator: User, make_workflow: Callable[..., Workflow], engine: FakeGateway
) -> None:
    command = services.request(operator, "cancel", make_workflow("w1", "RUNNING"))
    lose_everything()
    assert services.sweep() == 0
    _age(command, seconds=10)
    assert [services.sweep(), services.sweep()] == [1, 0]
    assert deliver() == 1
    command.refresh_from_db()
    assert command.state == "SUCCEEDED"


def _age(command: Command, *, seconds: int) -> None:
    """Let time pass for one command."""
    earlier = timezone.now() - timedelta(seconds=seconds)
    Command.objects.filter(id=command.id).update(not_before=earlier)
    Command.objects.filter(id=command.id, state="RUNNING").update(started_at=earlier)


def test_a_dead_redis_does_not_fail_the_request(
    operator: User, make_workflow: Callable[..., Workflow], settings: Settings
) -> None:
    workflow = make_workflow("w1", "RUNNING")
    dead = "redis://127.0.0.1:1/0"
    settings.CHANNEL_LAYERS = {
        "default": {**settings.CHANNEL_LAYERS["default"], "CONFIG": {"hosts": [dead]}}
    }
    real = current_app._get_current_object()
    try:
        app = Celery("dead", broker=dead, set_as_current=True)
        app.conf.broker_transport_options = real.conf.broker_transport_options
        before = time.monotonic()
        command = services.request(operator, "cancel", workflow)
    finally:
        real.set_current()
    assert time.monotonic() - before < 3
    assert command.state == "QUEUED"
    assert Workflow.objects.get().pending_command == "cancel"


# --- definitions and accounts -------------------------------------------------------------------


def test_definitions_are_taken_over_and_those_that_are_gone_are_flagged(
    db: None, engine: FakeGateway
) -> None:
    services.sync_definitions()
    assert Definition.objects.get(name="digits").params_schema == SCHEMA
    engine.catalogue.clear()
    services.sync_definitions()
    assert Definition.objects.get(name="digits").available is False
