"""Addresses of the REST API."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from workflows_app.api.actions import Cancel, Fork, Rerun, Resolve, Resume, Suspend, Unresolve
from workflows_app.api.actors import ActorList
from workflows_app.api.approvals import ApprovalList
from workflows_app.api.audit import AuditList
from workflows_app.api.batch import WorkflowBatch
from workflows_app.api.bulk_operations import BulkAction, BulkDetail, BulkItems, BulkList
from workflows_app.api.cluster import Cluster
from workflows_app.api.compare import Compare
from workflows_app.api.counts import WorkflowCounts, WorkflowFacets
from workflows_app.api.definitions import DefinitionDetail, DefinitionList
from workflows_app.api.events import WorkflowEvents
from workflows_app.api.exports import (
    AuditExport,
    BulkItemExport,
    EventExport,
    TaskExport,
    WorkflowExport,
)
from workflows_app.api.failures import FailureDetail, FailureList
from workflows_app.api.graph import WorkflowGraph
from workflows_app.api.logs import AttemptLog
from workflows_app.api.me import Me
from workflows_app.api.messages import Answer, Signal
from workflows_app.api.metadata import TaskMetadata, WorkflowMetadata
from workflows_app.api.operations import OperationDetail
from workflows_app.api.saved_views import ViewDetail, ViewList
from workflows_app.api.schedules import (
    ScheduleAction,
    ScheduleBackfill,
    ScheduleDetail,
    ScheduleList,
    SchedulePreview,
    ScheduleRuns,
)
from workflows_app.api.schema import Schema
from workflows_app.api.status import WorkflowStatusView
from workflows_app.api.tasks import TaskDetail, TaskGroups, TaskList
from workflows_app.api.timeline import WorkflowTimeline
from workflows_app.api.values import OutputDownload, TaskDownload
from workflows_app.api.waiting import long_poll
from workflows_app.api.workflow import WorkflowDetail, WorkflowOutput
from workflows_app.api.workflows import WorkflowList

app_name = "api"

WORKFLOW = "workflows/<workflow_id:workflow_id>/"
BULK = "bulk-operations/<uuid:bulk_id>/"
SCHEDULE = "schedules/<segment:name>/"
TASK = WORKFLOW + "tasks/<task_id:task_id>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("definitions/", DefinitionList.as_view(), name="definitions"),
    path("definitions/<segment:name>/", DefinitionDetail.as_view(), name="definition"),
    path(
        "workflows/batch/",
        WorkflowBatch.as_view(),
        {"workflow_id": "batch"},
        name="workflow-batch",
    ),
    path("workflows/", WorkflowList.as_view(), name="workflows"),
    path(WORKFLOW, WorkflowDetail.as_view(), name="workflow"),
    path(WORKFLOW + "status/", long_poll(WorkflowStatusView), name="status"),
    path(WORKFLOW + "metadata/", WorkflowMetadata.as_view(), name="metadata"),
    path(WORKFLOW + "output/", WorkflowOutput.as_view(), name="output"),
    path(WORKFLOW + "output/raw/", OutputDownload.as_view(), name="output-raw"),
    path(WORKFLOW + "graph/", WorkflowGraph.as_view(), name="graph"),
    path(WORKFLOW + "timeline/", WorkflowTimeline.as_view(), name="timeline"),
    path(WORKFLOW + "events/", WorkflowEvents.as_view(), name="events"),
    path(WORKFLOW + "actions/cancel/", Cancel.as_view(), name="cancel"),
    path(WORKFLOW + "actions/resume/", Resume.as_view(), name="resume"),
    path(WORKFLOW + "actions/suspend/", Suspend.as_view(), name="suspend"),
    path(WORKFLOW + "actions/rerun/", Rerun.as_view(), name="rerun"),
    path(WORKFLOW + "actions/fork/", Fork.as_view(), name="fork"),
    path(WORKFLOW + "actions/resolve/", Resolve.as_view(), name="resolve"),
    path(WORKFLOW + "actions/unresolve/", Unresolve.as_view(), name="unresolve"),
    path(WORKFLOW + "task-groups/", TaskGroups.as_view(), name="task-groups"),
    path(WORKFLOW + "signals/<segment:name>/", Signal.as_view(), name="signal"),
    path(TASK + "answer/", Answer.as_view(), name="answer"),
    path(WORKFLOW + "tasks/", TaskList.as_view(), name="tasks"),
    path(TASK, TaskDetail.as_view(), name="task"),
    path(TASK + "attempts/<int:number>/logs/", AttemptLog.as_view(), name="attempt-logs"),
    path(TASK + "output/raw/", TaskDownload.as_view(), name="task-output-raw"),
    path(TASK + "metadata/", TaskMetadata.as_view(), name="task-metadata"),
    path("workflow-counts/", WorkflowCounts.as_view(), name="workflow-counts"),
    path("workflow-facets/", WorkflowFacets.as_view(), name="workflow-facets"),
    path("compare/", Compare.as_view(), name="compare"),
    path("exports/workflows/", WorkflowExport.as_view(), name="export-workflows"),
    path("exports/" + WORKFLOW + "tasks/", TaskExport.as_view(), name="export-tasks"),
    path("exports/" + WORKFLOW + "events/", EventExport.as_view(), name="export-events"),
    path("exports/" + BULK + "items/", BulkItemExport.as_view(), name="export-bulk-items"),
    path("exports/audit-entries/", AuditExport.as_view(), name="export-audit-entries"),
    path("failure-groups/", FailureList.as_view(), name="failure-groups"),
    path("failure-groups/<segment:fingerprint>/", FailureDetail.as_view(), name="failure-group"),
    path("saved-views/", ViewList.as_view(), name="saved-views"),
    path("saved-views/<int:view_id>/", ViewDetail.as_view(), name="saved-view"),
    path("approvals/", ApprovalList.as_view(), name="approvals"),
    path("actors/", ActorList.as_view(), name="actors"),
    path("bulk-operations/", BulkList.as_view(), name="bulk-operations"),
    path(BULK, BulkDetail.as_view(), name="bulk-operation"),
    path(BULK + "items/", BulkItems.as_view(), name="bulk-items"),
    path(BULK + "actions/<segment:verb>/", BulkAction.as_view(), name="bulk-action"),
    path("operations/<uuid:operation_id>/", long_poll(OperationDetail), name="operation"),
    path("schedules/", ScheduleList.as_view(), name="schedules"),
    path(SCHEDULE, ScheduleDetail.as_view(), name="schedule"),
    path(SCHEDULE + "preview/", SchedulePreview.as_view(), name="schedule-preview"),
    path(SCHEDULE + "runs/", ScheduleRuns.as_view(), name="schedule-runs"),
    path(SCHEDULE + "backfill/", ScheduleBackfill.as_view(), name="schedule-backfill"),
    path(SCHEDULE + "actions/<segment:verb>/", ScheduleAction.as_view(), name="schedule-action"),
    path("audit-entries/", AuditList.as_view(), name="audit-entries"),
    path("cluster/", Cluster.as_view(), name="cluster"),
    path("me/", Me.as_view(), name="me"),
    path("schema/", Schema.as_view(), name="schema"),
]
