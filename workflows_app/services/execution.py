"""Carrying a command out: the state machine that Celery drives.

Each move is a conditional update that names the state (and the attempt) it starts from, so a
command delivered twice, or found again by the sweep while a slow worker still has it, moves once:

    QUEUED --take--> RUNNING --finish--> SUCCEEDED
                        |----fail------> FAILED
                        |----retry-----> QUEUED   (the engine could not be reached; later again)

A worker that dies leaves RUNNING behind; the sweep puts it back to QUEUED. The engine's commands
are idempotent, so a second execution of the same command finds its own work and succeeds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from workflows_app import after_commit, log_context, rules
from workflows_app.gateway import EngineProblem, Gateway, gateway
from workflows_app.models import Command, CommandKind, CommandState, Workflow
from workflows_app.services import bulk_progress

logger = logging.getLogger(__name__)

# About ten minutes in all: an engine that restarts is back long before.
MAX_ATTEMPTS = 25
LONGEST_PAUSE_SECONDS = 30.0
# How many of one message wait for the engine at once.
SIDE_BY_SIDE = 16

Outcome = dict[str, Any] | Exception | None


def run_commands(command_ids: Sequence[str | UUID]) -> None:
    """Carry commands out side by side, but those that somebody else has taken or that are done.

    So the engine makes durable together what arrives together.
    """
    engine, commands = gateway(), _take(command_ids)
    if len(commands) == 1:
        _conclude([(commands[0], _outcome(engine, commands[0]))])
    elif commands:
        with ThreadPoolExecutor(min(len(commands), SIDE_BY_SIDE), "command") as pool:
            running = {
                pool.submit(copy_context().run, _outcome, engine, command): command
                for command in commands
            }
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                _conclude([(running.pop(each), each.result()) for each in done])


def _take(command_ids: Sequence[str | UUID]) -> list[Command]:
    now = timezone.now()
    taken = Command.objects.filter(id__in=command_ids, state=CommandState.QUEUED).update(
        state=CommandState.RUNNING, started_at=now, attempts=F("attempts") + 1
    )
    if not taken:
        return []
    ours = Command.objects.filter(id__in=command_ids, state=CommandState.RUNNING, started_at=now)
    return list(ours.select_related("created_by"))


def _outcome(engine: Gateway, command: Command) -> Outcome:
    """What the engine answers, or what kept it from that. Does not touch the database."""
    log_context.bind(command_id=str(command.id), workflow_id=command.workflow_id)
    logger.info("%s of %s, attempt %d", command.kind, command.workflow_id, command.attempts)
    try:
        return _execute(engine, command)
    except EngineProblem as problem:
        logger.warning("%s", problem)
        return problem
    except Exception as error:
        logger.exception("Command %s (%s %s)", command.id, command.kind, command.workflow_id)
        return error


def _conclude(ended: Sequence[tuple[Command, Outcome]]) -> None:
    """Write down what has become of commands.

    Launches share a transaction. Others change rows of workflows, which the follower locks in an order of its own.
    """
    are_launches = all(command.kind == CommandKind.LAUNCH for command, _ in ended)
    with transaction.atomic() if are_launches else nullcontext():
        for command, outcome in ended:
            if isinstance(outcome, EngineProblem):
                if outcome.retryable and command.attempts < MAX_ATTEMPTS:
                    _retry_later(command, outcome)
                else:
                    _finish(command, CommandState.FAILED, problem=outcome.as_dict())
            elif isinstance(outcome, Exception):
                _finish(command, CommandState.FAILED, problem=_unexpected(command, outcome))
            else:
                _finish(command, CommandState.SUCCEEDED, problem=None, result=outcome)


def _execute(engine: Gateway, command: Command) -> dict[str, Any] | None:
    """Do it; returns what a command that asks something has found out."""
    if command.kind == CommandKind.LAUNCH:
        engine.launch(
            workflow_id=command.workflow_id,
            definition=command.payload["definition"],
            params=command.payload["params"],
            metadata=command.payload["metadata"],
            tags=command.payload["tags"],
            created_by=_name_of(command),
        )
    elif command.kind == CommandKind.CANCEL:
        engine.cancel(command.workflow_id)
    elif command.kind == CommandKind.SUSPEND:
        engine.suspend(command.workflow_id)
    elif command.kind == CommandKind.RESUME:
        engine.resume(command.workflow_id)
    elif command.kind == CommandKind.DELETE:
        engine.delete(command.workflow_id)
    elif command.kind == CommandKind.TELL:
        engine.tell(command.workflow_id, **command.payload, by=_name_of(command))
    elif command.kind == CommandKind.FORK:
        engine.fork(
            workflow_id=command.workflow_id,
            origin=command.payload["origin"],
            from_tasks=command.payload["from_tasks"],
            metadata=command.payload["metadata"],
            tags=command.payload["tags"],
            created_by=_name_of(command),
            token=str(command.id),
        )
    elif command.kind == CommandKind.PLAN:
        return engine.plan(command.workflow_id, **command.payload)
    return None


def _name_of(command: Command) -> str:
    return command.created_by.get_username() if command.created_by else ""


def _retry_later(command: Command, problem: EngineProblem) -> None:
    pause = min(2.0 ** min(command.attempts, 10), LONGEST_PAUSE_SECONDS)
    Command.objects.filter(
        id=command.id, state=CommandState.RUNNING, attempts=command.attempts
    ).update(
        state=CommandState.QUEUED,
        problem=problem.as_dict(),
        not_before=timezone.now() + timedelta(seconds=pause),
    )


def _finish(
    command: Command,
    state: CommandState,
    *,
    problem: dict[str, Any] | None,
    result: dict[str, Any] | None = None,
) -> None:
    with transaction.atomic():
        # The attempt is part of the condition: a worker thought dead must not overrule the one
        # that has taken the command since.
        finished = Command.objects.filter(
            id=command.id, state=CommandState.RUNNING, attempts=command.attempts
        ).update(state=state, problem=problem, result=result, finished_at=timezone.now())
        if not finished:
            return
        _clear_pending(command, state)
        if command.bulk_id is not None:
            detail = "" if problem is None else str(problem["detail"])
            bulk_progress.command_finished(command, detail=detail)
        after_commit.ring({"list": 0, f"workflow:{command.workflow_id}": 0})


def _clear_pending(command: Command, state: CommandState) -> None:
    """Take the pending mark away where no later record of the journal will do it.

    A cancel or a suspend stays pending until the journal says that it has stopped (or ended first), a
    resume until it says that the workflow runs again, a delete until the row is gone.
    """
    marked = Workflow.objects.filter(workflow_id=command.workflow_id, pending_command=command.kind)
    if state == CommandState.SUCCEEDED and command.kind == CommandKind.DELETE:
        return
    if state == CommandState.SUCCEEDED and command.kind in (
        CommandKind.CANCEL,
        CommandKind.SUSPEND,
    ):
        marked = marked.filter(status__in=rules.TERMINAL)
    if state == CommandState.SUCCEEDED and command.kind == CommandKind.RESUME:
        marked = marked.exclude(status__in=rules.allowed_statuses(CommandKind.RESUME))
    marked.update(pending_command=None)


def _unexpected(command: Command, error: Exception) -> dict[str, Any]:
    return {
        "code": "internal",
        "title": "The command failed in an unexpected way",
        "status": 500,
        "detail": f"{command.kind} of {command.workflow_id!r} failed with"
        f" {type(error).__name__}: {str(error)[:500]}. The worker's log has the traceback.",
    }
