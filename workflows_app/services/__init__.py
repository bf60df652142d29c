"""Everything people and programs can ask for. The only writers of commands and settings tables.

A service is: check the permission, one transaction with a conditional update, an audit entry,
and whatever has to be sent after commit. Pages, API, admin and Celery tasks call these and
nothing below them.
"""

from __future__ import annotations

from workflows_app.services.accounts import ensure_operator
from workflows_app.services.audit import note_export
from workflows_app.services.bulk import advance_bulk, request_bulk
from workflows_app.services.bulk_control import (
    abort_bulk,
    pause_bulk,
    retry_failed,
    unpause_bulk,
)
from workflows_app.services.commands import request
from workflows_app.services.definitions import sync_definitions
from workflows_app.services.execution import run_commands
from workflows_app.services.failures import resolve, triage, unresolve
from workflows_app.services.forking import fork, plan
from workflows_app.services.launching import launch, rerun
from workflows_app.services.launching_many import launch_many
from workflows_app.services.messages import tell
from workflows_app.services.profiles import change_password, keep_preferences
from workflows_app.services.samples import keep_sample
from workflows_app.services.schedules import (
    backfill,
    create_schedule,
    delete_schedule,
    pause_schedule,
    replace_schedule,
    unpause_schedule,
)
from workflows_app.services.sweeping import send_again, sweep
from workflows_app.services.ticking import tick, trigger
from workflows_app.services.views import change_view, delete_view, find_view, save_view, views_for

__all__ = [
    "abort_bulk",
    "advance_bulk",
    "backfill",
    "change_password",
    "change_view",
    "create_schedule",
    "delete_schedule",
    "delete_view",
    "ensure_operator",
    "find_view",
    "fork",
    "keep_preferences",
    "keep_sample",
    "launch",
    "launch_many",
    "note_export",
    "pause_bulk",
    "pause_schedule",
    "plan",
    "replace_schedule",
    "request",
    "request_bulk",
    "rerun",
    "resolve",
    "retry_failed",
    "run_commands",
    "save_view",
    "send_again",
    "sweep",
    "sync_definitions",
    "tell",
    "tick",
    "triage",
    "trigger",
    "unpause_bulk",
    "unpause_schedule",
    "unresolve",
    "views_for",
]
