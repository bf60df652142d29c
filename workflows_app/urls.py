"""Addresses of the console's pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from workflows_app.pages import (
    actions,
    actors,
    approvals,
    audit,
    bulk,
    cluster,
    compare,
    definitions,
    detail,
    events,
    failures,
    graph,
    help,
    launch,
    overview,
    plan,
    schedules,
    session,
    tasks,
    timeline,
    workflows,
)

WORKFLOW = "workflows/<workflow_id:workflow_id>/"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", overview.overview, name="overview"),
    path("login/", session.Login.as_view(), name="login"),
    path("logout/", session.Logout.as_view(), name="logout"),
    path("preferences/", session.preferences, name="preferences"),
    path("workflows/", workflows.workflow_list, name="workflows"),
    path("workflow-rows/", workflows.workflow_rows, name="workflow-rows"),
    path(WORKFLOW, detail.summary, name="workflow"),
    path(f"{WORKFLOW}tasks/", tasks.task_list, name="workflow-tasks"),
    path(f"{WORKFLOW}tasks/<task_id:task_id>/", tasks.task_detail, name="workflow-task"),
    path(f"{WORKFLOW}graph/", graph.graph, name="workflow-graph"),
    path(f"{WORKFLOW}timeline/", timeline.timeline, name="workflow-timeline"),
    path(f"{WORKFLOW}events/", events.event_list, name="workflow-events"),
    path(f"{WORKFLOW}plan/", plan.plan, name="workflow-plan"),
    path(f"{WORKFLOW}actions/<str:verb>/", actions.action, name="workflow-action"),
    path("actors/", actors.actor_list, name="actors"),
    path("failures/", failures.failure_list, name="failures"),
    path("failures/<segment:fingerprint>/", failures.failure_group, name="failure"),
    path("approvals/", approvals.approval_list, name="approvals"),
    path(f"{WORKFLOW}tasks/<task_id:task_id>/answer/", approvals.answer, name="answer"),
    path("schedules/", schedules.schedule_list, name="schedules"),
    path("new-schedule/", schedules.schedule_new, name="schedule-new"),
    path("schedules/<segment:name>/", schedules.schedule_detail, name="schedule"),
    path("schedules/<segment:name>/edit/", schedules.schedule_edit, name="schedule-edit"),
    path(
        "schedules/<segment:name>/actions/<segment:verb>/",
        schedules.schedule_action,
        name="schedule-action",
    ),
    path("audit/", audit.audit_log, name="audit"),
    path("compare/", compare.compare, name="compare"),
    path("launch/", launch.launch, name="launch"),
    path("definitions/", definitions.definition_list, name="definitions"),
    path("definitions/<segment:name>/", definitions.definition_detail, name="definition"),
    path("bulk/", bulk.bulk_list, name="bulk-list"),
    path("bulk/new/", bulk.bulk_new, name="bulk-new"),
    path("bulk/<uuid:bulk_id>/", bulk.bulk_detail, name="bulk"),
    path("bulk/<uuid:bulk_id>/actions/<segment:verb>/", bulk.bulk_action, name="bulk-action"),
    path("cluster/", cluster.cluster, name="cluster"),
    path("help/", help.help_page, name="help"),
]
