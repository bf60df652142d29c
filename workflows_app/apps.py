"""The app's configuration."""

from __future__ import annotations

from django.apps import AppConfig


class WorkflowsAppConfig(AppConfig):
    """RayFlow's registry and console."""

    name = "workflows_app"
    verbose_name = "RayFlow"
