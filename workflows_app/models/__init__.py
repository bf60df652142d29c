"""The registry's tables.

`Workflow`, `Task`, `TaskAttempt` and `WorkflowEvent` are a projection of the journals: only the
follower writes them and they can be emptied and refilled at any time. Everything else is written
by the services. Nothing here imports anything of ours.
"""

from __future__ import annotations

from workflows_app.models.accounts import ApiToken, AuditEntry
from workflows_app.models.cluster import ClusterSample
from workflows_app.models.commands import (
    SHARED,
    STARTS,
    BulkItem,
    BulkItemState,
    BulkOperation,
    BulkState,
    Command,
    CommandKind,
    CommandState,
)
from workflows_app.models.failures import FailureGroup, FailureTriage, Resolution
from workflows_app.models.registry import (
    Definition,
    FollowerState,
    Rollup,
    Task,
    TaskAttempt,
    Workflow,
    WorkflowEvent,
    WorkflowStatus,
)
from workflows_app.models.schedules import Overlap, RunState, Schedule, ScheduleRun
from workflows_app.models.views import LaunchPreset, Preferences, SavedView

__all__ = [
    "SHARED",
    "STARTS",
    "ApiToken",
    "AuditEntry",
    "BulkItem",
    "BulkItemState",
    "BulkOperation",
    "BulkState",
    "ClusterSample",
    "Command",
    "CommandKind",
    "CommandState",
    "Definition",
    "FailureGroup",
    "FailureTriage",
    "FollowerState",
    "LaunchPreset",
    "Overlap",
    "Preferences",
    "Resolution",
    "Rollup",
    "RunState",
    "SavedView",
    "Schedule",
    "ScheduleRun",
    "Task",
    "TaskAttempt",
    "Workflow",
    "WorkflowEvent",
    "WorkflowStatus",
]
