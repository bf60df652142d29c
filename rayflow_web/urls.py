"""Addresses of the site: the admin, the REST API and the console's pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, register_converter

from workflows_app import converters
from workflows_app.api import docs, health, messages, metrics

# Registered here, before any included URL configuration is imported.
register_converter(converters.SegmentConverter, "workflow_id")
register_converter(converters.SegmentConverter, "task_id")
register_converter(converters.SegmentConverter, "segment")

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/v1/", include("workflows_app.api.urls")),
    path("api/docs/", docs.reference, name="api-docs"),
    path(
        "event/send_event/<workflow_id:workflow_id>",
        messages.until_recorded(messages.SendEvent),
        name="send-event",
    ),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.Metrics.as_view(), name="metrics"),
    path("", include("workflows_app.urls")),
]
