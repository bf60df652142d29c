"""``from rayflow import workflow``: the public API, re-exported. Nothing is implemented here."""

from __future__ import annotations

from rayflow import errors as exceptions
from rayflow.api import (
    cancel,
    delete,
    get_metadata,
    get_output,
    get_output_async,
    get_status,
    init,
    list_all,
    plan_resume,
    resume,
    resume_all,
    resume_async,
    run,
    run_async,
    suspend,
)
from rayflow.children import child
from rayflow.core.foresight import ResumePlan
from rayflow.core.records import WorkflowStatus
from rayflow.definitions import definition
from rayflow.errors import WorkflowCancellationError, WorkflowError, WorkflowExecutionError
from rayflow.events import EventListener, HTTPListener, TimerListener, sleep, wait_for_event
from rayflow.forks import fork, fork_async, plan_fork
from rayflow.in_tasks import (
    artifact,
    cancelled,
    checkpoint_state,
    continuation,
    heartbeat,
    last_heartbeat,
    restored_state,
)
from rayflow.mapping import map_items as map
from rayflow.options import options
from rayflow.retry import Retry
from rayflow.signals import answer, approval, signal, wait_for_signal
from rayflow.steps import Step, Workflow, create, step, wait
from rayflow.virtual_actors import VirtualActor, get_actor, later, virtual_actor

NONE = WorkflowStatus.NONE
PENDING = WorkflowStatus.PENDING
RUNNING = WorkflowStatus.RUNNING
SUCCESSFUL = WorkflowStatus.SUCCESSFUL
FAILED = WorkflowStatus.FAILED
RESUMABLE = WorkflowStatus.RESUMABLE
CANCELED = WorkflowStatus.CANCELED

__all__ = [
    # running
    "init",
    "run",
    "run_async",
    "resume",
    "resume_async",
    "resume_all",
    "fork",
    "fork_async",
    "cancel",
    "suspend",
    "delete",
    # looking
    "list_all",
    "get_status",
    "get_metadata",
    "plan_resume",
    "plan_fork",
    "ResumePlan",
    "get_output",
    "get_output_async",
    # writing workflows
    "options",
    "Retry",
    "continuation",
    "map",
    "artifact",
    "definition",
    # writing workflows of steps
    "step",
    "Step",
    "Workflow",
    "create",
    "wait",
    # virtual actors
    "virtual_actor",
    "VirtualActor",
    "get_actor",
    "later",
    # waiting
    "sleep",
    "wait_for_event",
    "EventListener",
    "TimerListener",
    "HTTPListener",
    "wait_for_signal",
    "signal",
    "approval",
    "answer",
    # inside a task
    "cancelled",
    "heartbeat",
    "last_heartbeat",
    "checkpoint_state",
    "restored_state",
    "child",
    # statuses
    "WorkflowStatus",
    "NONE",
    "PENDING",
    "RUNNING",
    "SUCCESSFUL",
    "FAILED",
    "RESUMABLE",
    "CANCELED",
    # errors
    "exceptions",
    "WorkflowError",
    "WorkflowExecutionError",
    "WorkflowCancellationError",
]
